/* See test_process.h. */
#include "test_process.h"

#include <signal.h>
#include <unistd.h>

#include "clock.h"

struct rack rack;
const struct component nobody;

static bool frozen[MEMORIES];

/* ---- the rack ---- */

void freeze(int i)
{
    frozen[i] = true;
    kill(rack.memories[i].pid, SIGSTOP);
}

void thaw(int i)
{
    frozen[i] = false;
    kill(rack.memories[i].pid, SIGCONT);
}

static bool answers(int i)
{
    return rack.memories[i].pid && !frozen[i];
}

void start_missing(void)
{
    for (int i = 0; i < MEMORIES; i++)
        if (!rack.memories[i].pid)
            rack_start_memory(&rack, i, "64M");
}

struct msg_space_locate_reply locate(int i, struct asid asid, struct component lost)
{
    struct msg_space_locate_reply reply;
    struct net_conn *conn = rack_component_at(&rack, i);
    assert_int_equal(ask_locate(conn, asid, lost, &reply), 0);
    net_close(conn);
    return reply;
}

/* Which mComponent has that of it; waits until one does. */
int await_role(struct asid asid, uint8_t role)
{
    uint64_t end_ms = clock_ms() + COPY_MS;
    for (int i = 0;; i = (i + 1) % MEMORIES) {
        if (answers(i) && locate(i, asid, nobody).role == role)
            return i;
        assert_true(clock_ms() < end_ms);
        usleep(2000);
    }
}

void expect_nothing_held_at(int i, uint64_t within_ms)
{
    uint64_t end_ms = clock_ms() + within_ms;
    struct net_conn *conn = rack_component_at(&rack, i);
    while (ask_ping(conn).used_bytes) {
        assert_true(clock_ms() < end_ms);
        usleep(5000);
    }
    net_close(conn);
}

void expect_nothing_held(void)
{
    for (int i = 0; i < MEMORIES; i++)
        if (answers(i))
            expect_nothing_held_at(i, 1000);
}

/* ---- a process ---- */

void connect_to(struct process *p, int i)
{
    if (p->conn)
        net_close(p->conn);
    p->at = i;
    p->conn = rack_process_at(&rack, i, p->asid);
}

void begin(struct process *p, int at, uint32_t replicas)
{
    struct net_conn *component = rack_component_at(&rack, at);
    *p = (struct process){.asid = ask_create_with(component, replicas)};
    net_close(component);
    connect_to(p, at);
    assert_int_equal(ask_grant(p->conn, p->asid, 0, 2), 0);
}

void end(struct process *p)
{
    assert_int_equal(ask_destroy(p->conn, p->asid), 0);
    net_close(p->conn);
}

void change(struct process *p, uint8_t kind, uint32_t first, uint32_t count, uint32_t to)
{
    struct vm_op op = {
        .kind = kind, .prot = 3, .first = {FIRST + first}, .count = count, .to = {FIRST + to}};
    assert_int_equal(ask_serial(p->conn, p->asid, ++p->serial, &op), 0);
    for (uint32_t i = 0; i < count; i++) {
        struct cell *cell = &p->cells[first + i];
        if (kind == VM_OP_REMAP)
            p->cells[to + i] = *cell;
        if (kind == VM_OP_DISCARD)
            cell->stamp = 0;
        else if (kind != VM_OP_PROTECT)
            *cell = (struct cell){.mapped = kind == VM_OP_MAP};
    }
}

void store(struct process *p, uint32_t first, uint32_t count, uint64_t stamp)
{
    assert_true(ask_write(p->conn, p->asid, FIRST + first, count, stamp) >= 0);
    for (uint32_t i = first; i < first + count; i++)
        if (p->cells[i].mapped)
            p->cells[i].stamp = stamp + (i - first);
}

/* Changes of every kind, and lines. */
void live(struct process *p, struct random *r, int steps)
{
    while (steps--) {
        uint32_t first = (uint32_t)random_below(r, LINES / 2);
        uint32_t count = 1 + (uint32_t)random_below(r, 60);
        uint32_t to = LINES / 2 + (uint32_t)random_below(r, LINES / 2 - 60);
        uint8_t kind = (uint8_t)(VM_OP_MAP + random_below(r, 5));
        switch (random_below(r, 4)) {
        case 0:
            change(p, kind, first, count, to);
            break;
        case 1:
            change(p, VM_OP_MAP, random_below(r, 2) ? first : to, count, 0);
            break;
        default:
            store(p, random_below(r, 2) ? first : to, count, 1 + random_below(r, 1u << 30));
        }
    }
}

/* Every line of it, as the process left it. */
void expect_all(const struct process *p, struct net_conn *conn, struct asid asid)
{
    static uint8_t kinds[FETCH_MAX_LINES], data[FETCH_MAX_LINES * LINE_SIZE];
    int got;
    for (uint32_t line = 0; line < LINES; line += (uint32_t)got) {
        uint32_t count = LINES - line < FETCH_MAX_LINES ? LINES - line : FETCH_MAX_LINES;
        got = ask_fetch(conn, asid, FIRST + line, count, kinds, data);
        assert_true(got > 0);
        for (int i = 0; i < got; i++) {
            const struct cell *cell = &p->cells[line + (uint32_t)i];
            assert_int_equal(kinds[i], !cell->mapped ? LINE_UNMAPPED
                                       : cell->stamp ? LINE_DATA
                                                     : LINE_ZERO);
            assert_true(kinds[i] != LINE_DATA || line_is(data + i * LINE_SIZE, cell->stamp));
        }
    }
}

/* Kills the mComponent that a process is at and goes on where its replica is. */
void lose_primary(struct process *p)
{
    int lost = p->at, replica = await_role(p->asid, ROLE_REPLICA);
    struct component id = rack.memories[lost].id;
    uint32_t epoch = locate(replica, p->asid, nobody).epoch;
    rack_kill_memory(&rack, lost);
    struct msg_space_locate_reply reply = locate(replica, p->asid, id);
    assert_int_equal(reply.role, ROLE_PRIMARY);
    assert_int_equal(reply.epoch, epoch + 1);
    connect_to(p, replica);
}
