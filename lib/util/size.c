/* Reads sizes; see size.h. */
#include "size.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

int size_parse(const char *text, uint64_t *bytes)
{
    uint64_t n = 0;
    if (!isdigit((unsigned char)*text))
        return -EINVAL;
    for (; isdigit((unsigned char)*text); text++)
        if (__builtin_mul_overflow(n, 10u, &n) ||
            __builtin_add_overflow(n, (uint64_t)(*text - '0'), &n))
            return -ERANGE;

    unsigned shift = 0;
    if (*text) {
        static const char units[] = "KMGT";
        const char *unit = strchr(units, toupper((unsigned char)*text));
        if (!unit)
            return -EINVAL;
        shift = 10 * (unsigned)(unit - units + 1);
        text++;
        if (*text && strcasecmp(text, "B") != 0 && strcasecmp(text, "iB") != 0)
            return -EINVAL;
    }
    if (n << shift >> shift != n)
        return -ERANGE;
    *bytes = n << shift;
    return 0;
}
