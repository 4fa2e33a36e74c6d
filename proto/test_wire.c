/*
 * Every message body of the table: round trips, truncation at each byte, trailing bytes, texts
 * without NUL, counts that promise too much; the frame header; the CRC; the trace printer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "errors.h"
#include "limits.h"
#include "messages.h"
#include "samples.h"

enum { SEEDS = 40, ROOM = 16384 };

/* Decoders get a copy of exactly the bytes they were told of, so that a sanitizer sees one more. */
static int read_exact(const struct wire_sample *s, const uint8_t *payload, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, payload, size);
    int rc = s->read(copy, size);
    free(copy);
    return rc;
}

static void round_trips(void **state)
{
    static uint8_t payload[ROOM];
    assert_int_equal(wire_sample_count, 2 * OP_COUNT);
    for (int i = 0; i < wire_sample_count; i++) {
        const struct wire_sample *s = &wire_samples[i];
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            int size = s->encode(payload, sizeof payload, seed);
            assert_in_range(size, 0, ROOM);
            if (s->fixed_size >= 0)
                assert_int_equal(size, s->fixed_size);
            if (!s->check(payload, (size_t)size, seed))
                fail_msg("%s, seed %d: decoded to something else", s->name, (int)seed);
        }
    }
}

static void truncated_at_each_byte(void **state)
{
    static uint8_t payload[ROOM];
    for (int i = 0; i < wire_sample_count; i++) {
        const struct wire_sample *s = &wire_samples[i];
        for (uint64_t seed = 0; seed < 4; seed++) {
            int size = s->encode(payload, sizeof payload, seed);
            /* Long ones: every byte near both ends, and a stride between. */
            for (int cut = 0; cut<size; cut += cut> 300 && size - cut > 300 ? 97 : 1)
                if (read_exact(s, payload, (size_t)cut) != ASH_MALFORMED)
                    fail_msg("%s was decoded from %d bytes of %d", s->name, cut, size);
            payload[size] = 0;
            if (read_exact(s, payload, (size_t)size + 1) != ASH_MALFORMED)
                fail_msg("%s was decoded with a byte too many", s->name);
        }
    }
}

static void encoders_stay_within_their_buffer(void **state)
{
    static uint8_t payload[ROOM];
    for (int i = 0; i < wire_sample_count; i++) {
        const struct wire_sample *s = &wire_samples[i];
        int size = s->encode(payload, sizeof payload, 3);
        for (int room = 0; room<size; room += room> 300 ? 97 : 1) {
            memset(payload, 0xa5, sizeof payload);
            assert_int_equal(s->encode(payload, (size_t)room, 3), ASH_TOO_BIG);
            assert_int_equal(payload[room], 0xa5);
        }
    }
}

static void damaged_bytes_never_escape(void **state)
{
    static uint8_t payload[ROOM];
    unsigned accepted = 0, refused = 0;
    for (int i = 0; i < wire_sample_count; i++) {
        const struct wire_sample *s = &wire_samples[i];
        int size = s->encode(payload, sizeof payload, 5);
        for (int at = 0; at<size; at += at> 300 ? 97 : 1) {
            uint8_t was = payload[at];
            payload[at] = 0xff;
            *(read_exact(s, payload, (size_t)size) == 0 ? &accepted : &refused) += 1;
            payload[at] = was;
        }
    }
    assert_true(accepted > 0 && refused > 0);
}

static void texts_need_their_nul(void **state)
{
    uint8_t buf[512];
    struct msg_register request = {0}, back;
    memset(request.self.name, 'x', sizeof request.self.name);
    int size = msg_register_encode(&request, buf, sizeof buf);
    assert_int_equal(msg_register_decode(&back, buf, (size_t)size), ASH_MALFORMED);
    request.self.name[NAME_LIMIT - 1] = 0;
    size = msg_register_encode(&request, buf, sizeof buf);
    assert_int_equal(msg_register_decode(&back, buf, (size_t)size), 0);

    /* In a list, too. */
    struct component_info infos[2] = {0};
    memset(infos[1].address, 'y', sizeof infos[1].address);
    struct msg_components_reply list = {.components = infos, .components_count = 2}, list_back;
    size = msg_components_reply_encode(&list, buf, sizeof buf);
    assert_int_equal(msg_components_reply_decode(&list_back, buf, (size_t)size), ASH_MALFORMED);

    /* A str: length 0, without its NUL, with one too early. */
    static const uint8_t none[] = {0, 0}, open[] = {2, 0, 'a', 'b'}, early[] = {3, 0, 'a', 0, 0};
    struct msg_path_readlink path;
    assert_int_equal(msg_path_readlink_decode(&path, none, sizeof none), ASH_MALFORMED);
    assert_int_equal(msg_path_readlink_decode(&path, open, sizeof open), ASH_MALFORMED);
    assert_int_equal(msg_path_readlink_decode(&path, early, sizeof early), ASH_MALFORMED);
}

static void counts_are_bounded(void **state)
{
    uint8_t buf[64] = {0};
    uint32_t count = 0xffffffff;
    struct msg_line_write lines;
    memcpy(buf + 8, &count, 4);
    assert_int_equal(msg_line_write_decode(&lines, buf, sizeof buf), ASH_MALFORMED);
    count = 0x20000001; /* times 8 wraps around to 8 in 32 bits */
    memcpy(buf + 8, &count, 4);
    buf[20] = sizeof buf - 24; /* the bulk's length: what would be left after those 8 bytes */
    assert_int_equal(msg_line_write_decode(&lines, buf, sizeof buf), ASH_MALFORMED);
}

static void headers(void **state)
{
    struct wire_header h = {.version = PROTOCOL_VERSION,
                            .flags = WIRE_REPLY,
                            .op = OP_PING,
                            .length = 5,
                            .status = -2,
                            .request_id = 0x1122334455667788,
                            .epoch = 9},
                       back;
    static const uint8_t payload[5] = "abcd";
    uint8_t bytes[WIRE_HEADER_SIZE];
    h.crc = wire_crc(wire_header_crc(&h), payload, sizeof payload);
    wire_header_encode(&h, bytes);
    assert_int_equal(wire_header_decode(&back, bytes, 5), 0);
    uint8_t again[WIRE_HEADER_SIZE];
    wire_header_encode(&back, again);
    assert_memory_equal(again, bytes, sizeof bytes);
    assert_int_equal(back.request_id, h.request_id);
    assert_int_equal(back.status, h.status);
    assert_true(wire_crc_ok(&back, payload));
    assert_int_equal(wire_header_decode(&back, bytes, 4), ASH_TOO_BIG);

    /* One bit anywhere, but in the magic and the version, is the CRC's to find. */
    for (int bit = 0; bit < WIRE_HEADER_SIZE * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        int rc = wire_header_decode(&back, bytes, UINT32_MAX);
        int want = bit < 32 ? ASH_MALFORMED : bit < 40 ? ASH_VERSION : 0;
        assert_int_equal(rc, want);
        if (rc == 0 && back.length == h.length)
            assert_false(wire_crc_ok(&back, payload));
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void crc_is_crc32c(void **state)
{
    uint8_t zeros[32] = {0};
    assert_int_equal(wire_crc(0, "123456789", 9), 0xe3069283); /* the usual check value */
    assert_int_equal(wire_crc(0, zeros, 32), 0x8a9136aa);      /* RFC 3720, B.4 */
    static uint8_t data[20000];
    uint32_t crc = ~0u; /* bit by bit, as defined */
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)(i * 7 + i / 251);
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
        if (i % 61 == 0 || i + 1 == sizeof data)
            assert_int_equal(wire_crc(0, data, i + 1), ~crc);
    }
    for (size_t cut = 0; cut < sizeof data; cut += 1237)
        assert_int_equal(wire_crc(wire_crc(0, data, cut), data + cut, sizeof data - cut),
                         wire_crc(0, data, sizeof data));
}

static void prints(void **state)
{
    static uint8_t payload[ROOM];
    char text[4096], small[24];
    for (int i = 0; i < wire_sample_count; i++) {
        const struct wire_sample *s = &wire_samples[i];
        int size = s->encode(payload, sizeof payload, 2);
        struct wire_header h = {.op = s->op,
                                .flags = s->reply ? WIRE_REPLY : 0,
                                .length = (uint32_t)size,
                                .request_id = 17};
        size_t n = wire_print(&h, payload, text, sizeof text);
        assert_int_equal(n, strlen(text));
        assert_true(strncmp(text, wire_op_name(s->op), strlen(wire_op_name(s->op))) == 0);
        assert_non_null(strstr(text, "id=17"));
        assert_null(strstr(text, "malformed"));
        assert_true(wire_print(&h, payload, small, sizeof small) < sizeof small);
        if (size) {
            h.length--;
            wire_print(&h, payload, text, sizeof text);
            assert_non_null(strstr(text, "malformed"));
        }
    }
}

static void names_of_operations(void **state)
{
    for (int i = 0; i < OP_COUNT; i++) {
        uint16_t op = wire_samples[2 * i].op;
        assert_int_equal(wire_op_index(op), i);
        assert_string_equal(wire_op_name(op), wire_op_name_at(i));
    }
    assert_int_equal(wire_op_index(0xffff), -1);
    assert_string_equal(wire_op_name(0xffff), "unknown");
    assert_string_equal(wire_op_server(OP_PLACE), "global");
    assert_non_null(ash_error_text(ASH_AUTH));
    assert_null(ash_error_text(-2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),
        cmocka_unit_test(truncated_at_each_byte),
        cmocka_unit_test(encoders_stay_within_their_buffer),
        cmocka_unit_test(damaged_bytes_never_escape),
        cmocka_unit_test(texts_need_their_nul),
        cmocka_unit_test(counts_are_bounded),
        cmocka_unit_test(headers),
        cmocka_unit_test(crc_is_crc32c),
        cmocka_unit_test(prints),
        cmocka_unit_test(names_of_operations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
