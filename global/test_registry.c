/*
 * The registry and the three managers, by a clock of the test's own: numbers, epochs, leases,
 * placement, ties, bursts, and what outlives the daemon.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "registry.h"

#define MIB (1ull << 20)

struct fixture {
    char directory[32];
    struct registry *registry;
    uint64_t now_ms;
};

static const int session; /* its address stands for a connection */

static void open_registry(struct fixture *f)
{
    struct store store;
    assert_int_equal(store_file_open(f->directory, &store), 0);
    assert_int_equal(registry_new(&store, &f->registry), 0);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    strcpy(f->directory, "/tmp/ashlar-test-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    f->now_ms = 5000;
    open_registry(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char path[64];
    registry_free(f->registry);
    snprintf(path, sizeof path, "%s/registry", f->directory);
    unlink(path);
    assert_int_equal(rmdir(f->directory), 0);
    free(f);
    return 0;
}

static struct component_info component(const char *name, enum component_kind kind)
{
    struct component_info info = {.kind = (uint8_t)kind, .pid = 100, .size_bytes = 1024 * MIB};
    strcpy(info.name, name);
    snprintf(info.address, sizeof info.address, "127.0.0.1:%d", name[1]);
    return info;
}

static uint16_t add(struct fixture *f, struct component_info *info, const void *over)
{
    struct component id;
    uint32_t epoch;
    assert_int_equal(registry_register(f->registry, info, over, f->now_ms, &id, &epoch), 0);
    info->id = id;
    return id.n;
}

static int beat(struct fixture *f, const struct component_info *info)
{
    uint32_t epoch, changes;
    return registry_heartbeat(f->registry, info, f->now_ms, &epoch, &changes);
}

/* The state of a number in the listing; 0 where it is not listed. */
static int state_of(struct fixture *f, uint16_t id)
{
    struct component_info list[16];
    uint32_t changes;
    size_t n = registry_list(f->registry, f->now_ms, list, 16, &changes);
    for (size_t i = 0; i < n; i++)
        if (list[i].id.n == id)
            return list[i].state;
    return 0;
}

/* Time passes in which others' heartbeats come. */
static void pass(struct fixture *f, uint64_t ms)
{
    for (; ms > HEARTBEAT_MS; ms -= HEARTBEAT_MS) {
        f->now_ms += HEARTBEAT_MS;
        (void)state_of(f, 1);
    }
    f->now_ms += ms;
}

static uint32_t changes(struct fixture *f)
{
    struct component_info list[1];
    uint32_t changes;
    registry_list(f->registry, f->now_ms, list, 1, &changes);
    return changes;
}

static uint16_t choose(struct fixture *f, const struct manager *manager, uint64_t need)
{
    struct component_info chosen;
    struct component nobody = {0};
    int rc = registry_choose(f->registry, manager, nobody, nobody, need, f->now_ms, &chosen);
    return rc == 0 ? chosen.id.n : 0;
}

static void numbers_and_epochs(void **state)
{
    struct fixture *f = *state;
    struct component global;
    struct component_info m1 = component("m1", COMPONENT_MEMORY),
                          m2 = component("m2", COMPONENT_MEMORY), again = m1;
    assert_int_equal(registry_reserve(f->registry, "g1", &global), 0);
    assert_int_equal(global.n, 1);
    assert_int_equal(add(f, &m1, &session), 2);
    assert_int_equal(add(f, &m2, &session), 3);

    uint32_t first, second, changes;
    assert_int_equal(registry_heartbeat(f->registry, &m1, f->now_ms, &first, &changes), 0);
    again.pid = 200; /* it was restarted: the same name, and no number of its own yet */
    assert_int_equal(add(f, &again, &f), 2);
    assert_int_equal(registry_heartbeat(f->registry, &again, f->now_ms, &second, &changes), 0);
    assert_true(second > first);
    /* What still thinks it is m1 is told so, and its connection's end does not matter. */
    assert_int_equal(beat(f, &m1), ASH_STALE_EPOCH);
    registry_session_closed(f->registry, &session);
    assert_int_equal(state_of(f, 2), COMPONENT_UP);
    assert_int_equal(state_of(f, 3), COMPONENT_DOWN);
}

static void wrong_registrations(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"", "a b", "a\n", "../x", "m1;"};
    struct component id;
    uint32_t epoch;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct component_info info = component("m1", COMPONENT_MEMORY);
        strcpy(info.name, names[i]);
        assert_int_equal(registry_register(f->registry, &info, NULL, 0, &id, &epoch),
                         ASH_MALFORMED);
    }
    for (int kind = 0; kind < 256; kind += kind < 6 ? 1 : 50) {
        if (kind >= COMPONENT_PROCESS && kind <= COMPONENT_STORAGE)
            continue;
        struct component_info info = component("m1", kind);
        assert_int_equal(registry_register(f->registry, &info, NULL, 0, &id, &epoch),
                         ASH_MALFORMED);
    }
    struct component_info stranger = component("m9", COMPONENT_MEMORY);
    stranger.id.n = 40;
    assert_int_equal(beat(f, &stranger), ASH_NO_COMPONENT);
    assert_int_equal(registry_leave(f->registry, stranger.id, NULL), ASH_NO_COMPONENT);
}

static void leases(void **state)
{
    struct fixture *f = *state;
    struct component_info p1 = component("p1", COMPONENT_PROCESS), list[2];
    uint32_t count;
    add(f, &p1, &session);
    pass(f, LEASE_MS - 1);
    assert_int_equal(state_of(f, 1), COMPONENT_UP);
    p1.used_bytes = 77;
    assert_int_equal(beat(f, &p1), 0);
    pass(f, LEASE_MS - 1);
    assert_int_equal(state_of(f, 1), COMPONENT_UP);
    pass(f, 1);
    assert_int_equal(state_of(f, 1), COMPONENT_DOWN);
    assert_int_equal(registry_list(f->registry, f->now_ms, list, 2, &count), 1);
    assert_int_equal(list[0].used_bytes, 77); /* its last figures */
    assert_int_equal(choose(f, &gpm, 0), 0);
    assert_int_equal(beat(f, &p1), 0); /* it was only slow */
    assert_int_equal(state_of(f, 1), COMPONENT_UP);
    assert_int_equal(choose(f, &gpm, 0), 1);
}

/* Of an mComponent others have taken the place. */
static void fences(void **state)
{
    struct fixture *f = *state;
    struct component_info m1 = component("m1", COMPONENT_MEMORY);
    struct component id;
    uint32_t epoch;
    add(f, &m1, &session);
    pass(f, LEASE_MS);
    assert_int_equal(state_of(f, 1), COMPONENT_DOWN);
    assert_int_equal(beat(f, &m1), ASH_FENCED);
    assert_int_equal(beat(f, &m1), ASH_FENCED);
    /* Not by another connection either, as long as it takes itself for what it was. */
    assert_int_equal(registry_register(f->registry, &m1, &f, f->now_ms, &id, &epoch), ASH_FENCED);
    assert_int_equal(state_of(f, 1), COMPONENT_DOWN);
    m1.id.n = 0;
    assert_int_equal(add(f, &m1, &session), 1);
    assert_int_equal(beat(f, &m1), 0);
    assert_int_equal(state_of(f, 1), COMPONENT_UP);

    registry_session_closed(f->registry, &session);
    assert_int_equal(beat(f, &m1), ASH_FENCED);
    m1.id.n = 0;
    m1.pid = 200; /* a new process of its name */
    assert_int_equal(add(f, &m1, &session), 1);
    /* A connection that is replaced in time is no loss. */
    assert_int_equal(registry_register(f->registry, &m1, &f, f->now_ms, &id, &epoch), 0);
    registry_session_closed(f->registry, &session);
    assert_int_equal(beat(f, &m1), 0);
}

/* Nobody was heard because nobody listened. */
static void an_absence_of_its_own(void **state)
{
    struct fixture *f = *state;
    struct component_info m1 = component("m1", COMPONENT_MEMORY),
                          m2 = component("m2", COMPONENT_MEMORY);
    add(f, &m1, &session);
    add(f, &m2, &session);
    f->now_ms += 10 * LEASE_MS;
    assert_int_equal(beat(f, &m2), 0);
    assert_int_equal(state_of(f, 1), COMPONENT_UP);
    pass(f, LEASE_MS - 1);
    assert_int_equal(beat(f, &m1), 0);
    pass(f, 1);
    assert_int_equal(state_of(f, 1), COMPONENT_UP);
    assert_int_equal(state_of(f, 2), COMPONENT_DOWN);
}

static void changes_are_counted(void **state)
{
    struct fixture *f = *state;
    struct component_info m1 = component("m1", COMPONENT_MEMORY),
                          m2 = component("m2", COMPONENT_MEMORY);
    uint32_t epoch, heard, last = changes(f);
    add(f, &m1, &session);
    assert_int_not_equal(changes(f), last);
    last = changes(f);
    add(f, &m2, &f);
    assert_int_not_equal(changes(f), last);
    last = changes(f);
    m1.used_bytes = 5; /* figures are not news */
    assert_int_equal(registry_heartbeat(f->registry, &m1, f->now_ms, &epoch, &heard), 0);
    assert_int_equal(heard, last);
    assert_int_equal(registry_drain(f->registry, m1.id, true, f->now_ms), 0);
    assert_int_not_equal(changes(f), last);
    last = changes(f);
    assert_int_equal(registry_drain(f->registry, m1.id, true, f->now_ms), 0); /* it is already */
    assert_int_equal(changes(f), last);
    registry_session_closed(f->registry, &session);
    assert_int_not_equal(changes(f), last);
    last = changes(f);
    m1.id.n = 0;
    m1.pid = 200;
    add(f, &m1, &session);
    assert_int_not_equal(changes(f), last);
    last = changes(f);
    assert_int_equal(registry_leave(f->registry, m1.id, &session), 0);
    assert_int_not_equal(changes(f), last);
    last = changes(f);
    pass(f, LEASE_MS); /* m2 is told by its own heartbeat that it was lost */
    assert_int_equal(registry_heartbeat(f->registry, &m2, f->now_ms, &epoch, &heard), 0);
    assert_int_equal(heard, last);
    pass(f, LEASE_MS);
    assert_int_equal(state_of(f, m2.id.n), COMPONENT_DOWN);
    assert_int_not_equal(changes(f), last);
}

static void draining(void **state)
{
    struct fixture *f = *state;
    struct component_info m1 = component("m1", COMPONENT_MEMORY),
                          m2 = component("m2", COMPONENT_MEMORY),
                          s1 = component("s1", COMPONENT_STORAGE), out;
    struct component nobody = {0};
    add(f, &m1, &session);
    add(f, &s1, &session);
    assert_int_equal(registry_drain(f->registry, m1.id, true, f->now_ms), -EBUSY);
    add(f, &m2, &session);
    assert_int_equal(registry_drain(f->registry, s1.id, true, f->now_ms), -EINVAL);
    assert_int_equal(registry_drain(f->registry, (struct component){77}, true, f->now_ms),
                     ASH_NO_COMPONENT);
    assert_int_equal(registry_drain(f->registry, m1.id, true, f->now_ms), 0);
    assert_int_equal(registry_drain(f->registry, m2.id, true, f->now_ms), -EBUSY);
    assert_int_equal(state_of(f, m1.id.n), COMPONENT_DRAINING);
    for (int i = 0; i < 4; i++)
        assert_int_equal(choose(f, &gmm, 0), m2.id.n);
    assert_int_equal(registry_choose(f->registry, &gmm, m2.id, nobody, 0, f->now_ms, &out), 0);
    assert_int_equal(out.id.n, m2.id.n); /* not even where there is no other */

    /* It stays so over heartbeats, over a loss, and over another process of its name. */
    assert_int_equal(beat(f, &m1), 0);
    assert_int_equal(state_of(f, m1.id.n), COMPONENT_DRAINING);
    registry_session_closed(f->registry, &session);
    assert_int_equal(state_of(f, m1.id.n), COMPONENT_DOWN);
    m1.id.n = m2.id.n = 0;
    m1.pid = 200;
    add(f, &m1, &session);
    add(f, &m2, &session);
    assert_int_equal(state_of(f, m1.id.n), COMPONENT_DRAINING);
    assert_int_equal(state_of(f, m2.id.n), COMPONENT_UP);
    assert_int_equal(registry_drain(f->registry, m1.id, false, f->now_ms), 0);
    assert_int_equal(state_of(f, m1.id.n), COMPONENT_UP);
    assert_int_equal(registry_choose(f->registry, &gmm, m2.id, nobody, 0, f->now_ms, &out), 0);
    assert_int_equal(out.id.n, m1.id.n);
}

static void leaving(void **state)
{
    struct fixture *f = *state;
    struct component_info m1 = component("m1", COMPONENT_MEMORY);
    add(f, &m1, &session);
    assert_int_equal(registry_leave(f->registry, m1.id, &f), ASH_FORBIDDEN);
    assert_int_equal(registry_leave(f->registry, m1.id, &session), 0);
    assert_int_equal(state_of(f, 1), 0);
    assert_int_equal(choose(f, &gmm, 0), 0);
    assert_int_equal(beat(f, &m1), ASH_NO_COMPONENT);
    m1.id.n = 0;
    assert_int_equal(add(f, &m1, &session), 1); /* its old number */
}

static void restarts(void **state)
{
    struct fixture *f = *state;
    struct component_info m1 = component("m1", COMPONENT_MEMORY),
                          m2 = component("m2", COMPONENT_MEMORY),
                          m3 = component("m3", COMPONENT_MEMORY);
    uint32_t before, after, changes;
    add(f, &m1, &session);
    add(f, &m2, &session);
    assert_int_equal(registry_heartbeat(f->registry, &m2, f->now_ms, &before, &changes), 0);
    for (int i = 0; i < 3; i++) {
        registry_free(f->registry);
        open_registry(f);
    }
    assert_int_equal(state_of(f, 1), 0); /* not of the rack until it says so */
    assert_int_equal(beat(f, &m2), ASH_NO_COMPONENT);
    assert_int_equal(add(f, &m3, &session), 3); /* a new one does not get an old one's number */
    m2.id.n = 0;
    assert_int_equal(add(f, &m2, &session), 2);
    assert_int_equal(registry_heartbeat(f->registry, &m2, f->now_ms, &after, &changes), 0);
    assert_true(after > before);
}

/* A store that was lost altogether: components keep the numbers that they come with. */
static void lost_store(void **state)
{
    struct fixture *f = *state;
    struct component_info m1 = component("m1", COMPONENT_MEMORY),
                          m2 = component("m2", COMPONENT_MEMORY);
    m1.id.n = 7;
    m2.id.n = 7;
    assert_int_equal(add(f, &m1, &session), 7);
    assert_int_equal(add(f, &m2, &session), 8); /* taken */
}

static void damaged_store(void **state)
{
    struct fixture *f = *state;
    char path[64];
    registry_free(f->registry);
    snprintf(path, sizeof path, "%s/registry", f->directory);
    FILE *file = fopen(path, "w");
    fputs("5 2 2 m2\ngarbage\n9 70000 2 m3\n9 0 2 m4\n9 4 9 m5\n6 5 2 far-too-long-for-a-name\n"
          "7 3 2 m6\n8 9 2 cut",
          file);
    fclose(file);
    open_registry(f);
    struct component_info m2 = component("m2", COMPONENT_MEMORY),
                          m7 = component("m7", COMPONENT_MEMORY);
    assert_int_equal(add(f, &m2, &session), 2);
    assert_int_equal(add(f, &m7, &session), 4);
}

static void full(void **state)
{
    struct fixture *f = *state;
    struct component_info info = component("m1", COMPONENT_MEMORY);
    struct component id;
    uint32_t epoch;
    for (int i = 0; i < REGISTRY_MAX; i++) {
        snprintf(info.name, sizeof info.name, "x%d", i);
        info.id.n = 0;
        assert_int_equal(add(f, &info, &session), i + 1);
    }
    strcpy(info.name, "more");
    assert_int_equal(registry_register(f->registry, &info, &session, f->now_ms, &id, &epoch),
                     ASH_LIMIT);
    /* One that left makes room. */
    assert_int_equal(registry_leave(f->registry, (struct component){17}, &session), 0);
    info.id.n = 0;
    assert_int_equal(add(f, &info, &session), REGISTRY_MAX + 1);
}

static void gpm_takes_the_fewest_threads(void **state)
{
    struct fixture *f = *state;
    struct component_info p[3] = {component("p1", COMPONENT_PROCESS),
                                  component("p2", COMPONENT_PROCESS),
                                  component("p3", COMPONENT_PROCESS)};
    static const uint64_t threads[] = {9, 3, 5};
    for (int i = 0; i < 3; i++) {
        p[i].load = threads[i];
        add(f, &p[i], &session);
    }
    assert_int_equal(choose(f, &gpm, 0), 2);
    assert_int_equal(choose(f, &gpm, 0), 2); /* 3 and 1 placed: still fewer than 5 */
    assert_int_equal(choose(f, &gpm, 0), 3); /* 5 each: the one longest not chosen */
    assert_int_equal(choose(f, &gpm, 0), 2);
    /* A heartbeat later they still count, two later only the reports do. */
    for (int j = 0; j < 3; j++)
        assert_int_equal(beat(f, &p[j]), 0);
    assert_int_equal(choose(f, &gpm, 0), 3); /* 9, 3 + 3, 5 + 1; else p2 */
    p[2].load = 7;
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 3; j++)
            assert_int_equal(beat(f, &p[j]), 0);
    assert_int_equal(choose(f, &gpm, 0), 2);
    for (int i = 0; i < 4; i++) {
        pass(f, LEASE_MS / 4);
        assert_int_equal(beat(f, &p[0]), 0);
    }
    assert_int_equal(choose(f, &gpm, 0), 1); /* the only one up */
}

static void gmm_takes_the_most_free_memory(void **state)
{
    struct fixture *f = *state;
    struct component_info m[3] = {component("m1", COMPONENT_MEMORY),
                                  component("m2", COMPONENT_MEMORY),
                                  component("m3", COMPONENT_MEMORY)};
    m[0].size_bytes = 500 * MIB;
    m[1].size_bytes = 900 * MIB;
    m[1].used_bytes = 100 * MIB;
    m[1].cached_bytes = 800 * MIB; /* can be given up: free */
    m[2].size_bytes = 1000 * MIB;
    m[2].used_bytes = 300 * MIB;
    for (int i = 0; i < 3; i++)
        add(f, &m[i], &session);
    assert_int_equal(choose(f, &gmm, 150 * MIB), 2); /* 500, 800, 700 free */
    assert_int_equal(choose(f, &gmm, 150 * MIB), 3); /* 500, 650, 700 */
    assert_int_equal(choose(f, &gmm, 150 * MIB), 2); /* 500, 650, 550 */
    assert_int_equal(choose(f, &gmm, 150 * MIB), 3);
    assert_int_equal(choose(f, &gmm, 150 * MIB), 1);

    /* Load counts: m3 has more free memory than m1, but is busy. */
    struct component_info busy = m[2];
    busy.load = 100000;
    busy.used_bytes = 0;
    m[1].used_bytes = 900 * MIB;
    for (int i = 0; i < 2; i++) {
        beat(f, &m[0]);
        beat(f, &m[1]);
        beat(f, &busy);
    }
    /* 500 against 1000 / 2: in turn, and m1 was chosen last. */
    assert_int_equal(choose(f, &gmm, 1), 3);
    assert_int_equal(choose(f, &gmm, 1), 1);
    busy.load = 50000;
    for (int i = 0; i < 2; i++)
        beat(f, &busy);
    assert_int_equal(choose(f, &gmm, 1), 3);
}

static void the_home_is_not_its_own_help(void **state)
{
    struct fixture *f = *state;
    struct component_info m1 = component("m1", COMPONENT_MEMORY),
                          m2 = component("m2", COMPONENT_MEMORY),
                          m3 = component("m3", COMPONENT_MEMORY), out;
    struct component nobody = {0};
    m2.size_bytes = 2 * MIB;
    m3.size_bytes = MIB;
    add(f, &m1, &session);
    add(f, &m2, &session);
    add(f, &m3, &session);
    assert_int_equal(registry_choose(f->registry, &gmm, m1.id, nobody, 1, f->now_ms, &out), 0);
    assert_int_equal(out.id.n, 2);
    assert_int_equal(registry_choose(f->registry, &gmm, m1.id, m2.id, 1, f->now_ms, &out), 0);
    assert_int_equal(out.id.n, 3);
    /* What it is going to need counts at once. */
    assert_int_equal(
        registry_choose(f->registry, &gmm, m1.id, nobody, 3 * MIB / 2, f->now_ms, &out), 0);
    assert_int_equal(out.id.n, 2);
    assert_int_equal(registry_choose(f->registry, &gmm, m1.id, nobody, 1, f->now_ms, &out), 0);
    assert_int_equal(out.id.n, 3);
    assert_int_equal(registry_leave(f->registry, m2.id, &session), 0);
    assert_int_equal(registry_leave(f->registry, m3.id, &session), 0);
    assert_int_equal(registry_choose(f->registry, &gmm, m1.id, m2.id, 1, f->now_ms, &out), 0);
    assert_int_equal(out.id.n, 1); /* there is no other */
}

static void bursts_spread(void **state)
{
    struct fixture *f = *state;
    struct component_info infos[9];
    unsigned count[16] = {0};
    static const enum component_kind kinds[] = {COMPONENT_PROCESS, COMPONENT_MEMORY,
                                                COMPONENT_STORAGE};
    for (int i = 0; i < 9; i++) {
        char name[4] = {"pms"[i / 3], (char)('1' + i % 3), 0};
        infos[i] = component(name, kinds[i / 3]);
        add(f, &infos[i], &session);
    }
    for (int i = 0; i < 30; i++) {
        count[choose(f, &gpm, 0)]++;
        count[choose(f, &gmm, 0)]++;
        count[choose(f, &gsm, 0)]++;
    }
    for (int id = 1; id <= 9; id++)
        assert_int_equal(count[id], 10);
    assert_int_equal(count[0], 0);
}

static void gsm_takes_the_most_free_space(void **state)
{
    struct fixture *f = *state;
    struct component_info s1 = component("s1", COMPONENT_STORAGE),
                          s2 = component("s2", COMPONENT_STORAGE);
    s1.used_bytes = 2 * MIB;
    s2.used_bytes = MIB;
    add(f, &s1, &session);
    add(f, &s2, &session);
    assert_int_equal(choose(f, &gsm, 0), 2);
    s2.used_bytes = s2.size_bytes + 1; /* over-full: no wrap-around */
    beat(f, &s2);
    assert_int_equal(choose(f, &gsm, 0), 1);
}

int main(void)
{
#define WITH_REGISTRY(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_REGISTRY(numbers_and_epochs),
        WITH_REGISTRY(wrong_registrations),
        WITH_REGISTRY(leases),
        WITH_REGISTRY(fences),
        WITH_REGISTRY(an_absence_of_its_own),
        WITH_REGISTRY(changes_are_counted),
        WITH_REGISTRY(draining),
        WITH_REGISTRY(leaving),
        WITH_REGISTRY(restarts),
        WITH_REGISTRY(lost_store),
        WITH_REGISTRY(damaged_store),
        WITH_REGISTRY(full),
        WITH_REGISTRY(gpm_takes_the_fewest_threads),
        WITH_REGISTRY(gmm_takes_the_most_free_memory),
        WITH_REGISTRY(the_home_is_not_its_own_help),
        WITH_REGISTRY(bursts_spread),
        WITH_REGISTRY(gsm_takes_the_most_free_space),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
