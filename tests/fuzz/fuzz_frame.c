/*
 * The frame header, as the first thing that is read of any peer: decoded, checked, printed.
 */
#include <stdlib.h>
#include <string.h>

#include "limits.h"
#include "messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_header h;
    if (size < WIRE_HEADER_SIZE || wire_header_decode(&h, data, FRAME_MAX) < 0)
        return 0;
    uint8_t again[WIRE_HEADER_SIZE];
    wire_header_encode(&h, again);
    if (memcmp(again, data, sizeof again) != 0)
        abort();
    if (h.length > FRAME_MAX)
        abort();
    if (h.length > size - WIRE_HEADER_SIZE)
        return 0;
    char text[512];
    uint8_t *payload = malloc(h.length ? h.length : 1);
    memcpy(payload, data + WIRE_HEADER_SIZE, h.length);
    (void)wire_crc_ok(&h, payload);
    if (wire_print(&h, payload, text, sizeof text) >= sizeof text)
        abort();
    free(payload);
    return 0;
}
