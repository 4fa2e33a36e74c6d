/* See lines.h. */
#include "lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "error_text.h"

enum { TIMEOUT_MS = 5000, GRANT_AT_ONCE = 64 };

static struct net_key key;

void bench_fail(const char *what, int rc)
{
    fprintf(stderr, "bench-lines: %s: %s\n", what, error_text(rc));
    exit(1);
}

static void check(const char *what, int rc)
{
    if (rc < 0)
        bench_fail(what, rc);
}

static struct net_conn *connect_as(const char *address, const struct msg_bind *bind)
{
    struct net_conn *conn;
    check(address, net_connect(address, &key, bind, TIMEOUT_MS, &conn, NULL));
    return conn;
}

struct net_conn *bench_monitor(const char *address, const char *key_path)
{
    check(key_path, net_key_load(key_path, &key));
    return connect_as(address, &(struct msg_bind){.scope = SCOPE_COMPONENT, .writable = ""});
}

void bench_line(uint8_t line[LINE_SIZE], uint64_t i, uint64_t round)
{
    uint64_t words[LINE_SIZE / sizeof(uint64_t)];
    uint64_t word = (i + 1) * 0x9e3779b97f4a7c15ull + round * 0xbf58476d1ce4e5b9ull;
    for (size_t w = 0; w < LINE_SIZE / sizeof *words; w++)
        words[w] = word += 0x94d049bb133111ebull;
    memcpy(line, words, sizeof words);
}

/* ---- requests ---- */

static size_t frame_of(uint8_t *out, uint16_t op, size_t size)
{
    struct wire_header header = {
        .version = PROTOCOL_VERSION, .op = op, .length = (uint32_t)size, .request_id = 1};
    header.crc = wire_crc(wire_header_crc(&header), out + WIRE_HEADER_SIZE, size);
    wire_header_encode(&header, out);
    return WIRE_HEADER_SIZE + size;
}

size_t bench_fetch_frame(uint8_t *out, const struct bench_space *space, uint64_t i, uint32_t count)
{
    struct msg_line_fetch request = {
        .asid = space->asid, .first = {SPACE_FIRST + i}, .count = count};
    int size = msg_line_fetch_encode(&request, out + WIRE_HEADER_SIZE, FRAME_MAX);
    check("a request", size);
    return frame_of(out, OP_LINE_FETCH, (size_t)size);
}

size_t bench_write_frame(uint8_t *out, const struct bench_space *space, uint64_t i, uint32_t count,
                         uint64_t round)
{
    struct line_ref lines[WRITE_MAX_LINES];
    for (uint32_t k = 0; k < count; k++)
        lines[k].page.n = SPACE_FIRST + i + k;
    struct msg_line_write request = {
        .asid = space->asid, .lines = lines, .lines_count = count, .data_size = count * LINE_SIZE};
    int size = msg_line_write_encode(&request, out + WIRE_HEADER_SIZE, FRAME_MAX);
    check("a request", size);
    for (uint32_t k = 0; k < count; k++)
        bench_line(out + WIRE_HEADER_SIZE + size + k * LINE_SIZE, i + k, round);
    return frame_of(out, OP_LINE_WRITE, (size_t)size + count * LINE_SIZE);
}

/* ---- spaces ---- */

static uint32_t run_at(const struct bench_space *space, uint64_t i, uint32_t most)
{
    uint64_t left = space->lines - i;
    return left < most ? (uint32_t)left : most;
}

static void store(struct bench_space *space, uint64_t i, uint32_t count)
{
    static uint8_t body[FRAME_MAX];
    struct msg_line_write_reply reply;
    struct net_frame frame;
    size_t size = bench_write_frame(body, space, i, count, 0) - WIRE_HEADER_SIZE;
    int rc = net_request(space->conn, OP_LINE_WRITE, body + WIRE_HEADER_SIZE, size, NULL, 0,
                         TIMEOUT_MS, &frame);
    if (rc == 0)
        rc = msg_line_write_reply_decode(&reply, frame.payload, frame.header.length);
    check("LINE_WRITE", rc);
    if (reply.stored != count)
        bench_fail("LINE_WRITE", ASH_MALFORMED);
}

static void grant(struct bench_space *space)
{
    uint64_t vregions = (space->lines + VREGION_LINES - 1) / VREGION_LINES;
    for (uint64_t done = 0; done < vregions; done += GRANT_AT_ONCE) {
        uint64_t count = vregions - done < GRANT_AT_ONCE ? vregions - done : GRANT_AT_ONCE;
        struct vregion_run run = {.first = SPACE_FIRST / VREGION_LINES + (uint32_t)done,
                                  .count = (uint32_t)count,
                                  .lines = count * VREGION_LINES};
        struct msg_vregion_grant request = {.asid = space->asid, .runs = &run, .runs_count = 1};
        struct msg_vregion_grant_reply reply;
        check("VREGION_GRANT",
              NET_CALL(space->conn, VREGION_GRANT, vregion_grant, &request, &reply, TIMEOUT_MS));
        for (uint32_t i = 0; i < reply.vregions_count; i++)
            if (reply.vregions[i].part)
                bench_fail("the monitor has not enough room", ASH_NO_FRAMES);
    }
}

void bench_space_make(struct bench_space *space, struct net_conn *monitor, const char *address,
                      uint64_t lines)
{
    struct msg_space_create create = {.run_id = 1, .replicas = 1};
    struct msg_space_create_reply created;
    check("SPACE_CREATE",
          NET_CALL(monitor, SPACE_CREATE, space_create, &create, &created, TIMEOUT_MS));
    struct msg_bind bind = {
        .scope = SCOPE_PROCESS, .asid = created.asid, .run_id = 1, .writable = ""};
    *space = (struct bench_space){
        .conn = connect_as(address, &bind), .asid = created.asid, .lines = lines};
    grant(space);
    struct vm_op op = {.kind = VM_OP_MAP, .prot = 3, .first = {SPACE_FIRST}, .count = lines};
    struct msg_space_ops ops = {.asid = space->asid, .ops = &op, .ops_count = 1};
    struct msg_space_ops_reply done;
    check("SPACE_OPS", NET_CALL(space->conn, SPACE_OPS, space_ops, &ops, &done, TIMEOUT_MS));
    for (uint64_t i = 0; i < lines; i += WRITE_MAX_LINES)
        store(space, i, run_at(space, i, WRITE_MAX_LINES));
}

static bool is_of_a_round(const uint8_t *line, uint64_t i, uint64_t rounds)
{
    uint8_t right[LINE_SIZE];
    for (uint64_t round = 0; round < rounds; round++) {
        bench_line(right, i, round);
        if (memcmp(line, right, LINE_SIZE) == 0)
            return true;
    }
    return false;
}

void bench_space_check(struct bench_space *space, uint64_t rounds)
{
    for (uint64_t i = 0; i < space->lines;) {
        struct msg_line_fetch request = {.asid = space->asid,
                                         .first = {SPACE_FIRST + i},
                                         .count = run_at(space, i, FETCH_MAX_LINES)};
        struct msg_line_fetch_reply reply;
        check("LINE_FETCH",
              NET_CALL(space->conn, LINE_FETCH, line_fetch, &request, &reply, TIMEOUT_MS));
        if (reply.kinds_size == 0 || reply.data_size != reply.kinds_size * LINE_SIZE)
            bench_fail("a line is not there", ASH_MALFORMED);
        for (uint32_t k = 0; k < reply.kinds_size; k++)
            if (!is_of_a_round(reply.data + k * LINE_SIZE, i + k, rounds))
                bench_fail("a line is wrong", ASH_CORRUPT);
        i += reply.kinds_size;
    }
}

void bench_space_end(struct bench_space *space)
{
    struct msg_space_destroy request = {.asid = space->asid};
    struct msg_space_destroy_reply reply;
    check("SPACE_DESTROY",
          NET_CALL(space->conn, SPACE_DESTROY, space_destroy, &request, &reply, TIMEOUT_MS));
    net_close(space->conn);
}
