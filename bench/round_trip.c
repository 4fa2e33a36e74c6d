/*
 * TCP's bare 64 B request and 4 KiB reply; see exchange.h.
 *
 *   round_trip blocking|spinning [COUNT]
 */
#include <string.h>

#include "exchange.h"

enum { WARM_UP = 1000 };

int main(int argc, char **argv)
{
    bool spinning = argc > 1 && strcmp(argv[1], "spinning") == 0;
    size_t count = bench_argument(argc, argv, 2, 20000);
    uint32_t *ns = malloc(count * sizeof *ns);
    static uint8_t reply[EXCHANGE_REPLY];
    struct exchange x;
    if (!ns)
        return 1;
    exchange_begin(&x, spinning);
    for (size_t i = 0; i < WARM_UP + count; i++) {
        uint64_t since = bench_ns();
        exchange_once(&x, reply);
        if (i >= WARM_UP)
            ns[i - WARM_UP] = (uint32_t)(bench_ns() - since);
    }
    exchange_end(&x);
    printf("{");
    bench_print(ns, count);
    printf("}\n");
    return 0;
}
