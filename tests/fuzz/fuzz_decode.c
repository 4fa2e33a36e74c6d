/*
 * Every decoder and the trace printer. Input: u16 which body (proto/samples.h), then its payload,
 * at the end of an allocation so that one byte too many is seen.
 */
#include <stdlib.h>
#include <string.h>

#include "messages.h"
#include "samples.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint16_t which;
    if (size < sizeof which)
        return 0;
    memcpy(&which, data, sizeof which);
    const struct wire_sample *s = &wire_samples[which % wire_sample_count];
    size -= sizeof which;
    uint8_t *payload = malloc(size ? size : 1);
    memcpy(payload, data + sizeof which, size);

    int rc = s->read(payload, size);
    if (rc == 0 && s->fixed_size >= 0 && size != (size_t)s->fixed_size)
        abort(); /* it accepted more or fewer bytes than it has */

    struct wire_header h = {
        .op = s->op, .flags = s->reply ? WIRE_REPLY : 0, .length = (uint32_t)size};
    char text[256];
    size_t n = wire_print(&h, payload, text, sizeof text);
    if (n >= sizeof text || text[n] != 0)
        abort();
    free(payload);
    return 0;
}
