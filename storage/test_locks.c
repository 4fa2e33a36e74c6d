/*
 * Advisory locks: a few cases by hand, and many by chance against a model that keeps every owner's
 * lock byte by byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "locks.h"

enum { BYTES = 24, OWNERS = 4, STEPS = 200000 };

static const struct file_id file = {.device = 1, .inode = 2, .generation = 3};
static int clients[2]; /* their addresses are the connections */

static int set(struct locks *locks, uint32_t owner, uint8_t kind, uint64_t start, uint64_t length)
{
    struct lock_request request = {
        .owner = {&clients[owner % 2], owner}, .kind = kind, .start = start, .length = length};
    return locks_set(locks, &file, &request);
}

static unsigned draw(unsigned below)
{
    static uint64_t state = 42;
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)((state >> 33) % below);
}

/* The kinds are 0 (none), 1 (read), 2 (write), as LOCK_KIND_* has them; the last byte stands for
   all bytes from there on. */
static uint8_t model[OWNERS][BYTES];

static bool model_conflict(unsigned owner, uint8_t kind, unsigned first, unsigned last,
                           unsigned *who)
{
    for (unsigned o = 0; o < OWNERS; o++)
        for (unsigned b = first; b <= last; b++)
            if (o != owner && model[o][b] && (model[o][b] == 2 || kind == 2)) {
                *who = o;
                return true;
            }
    return false;
}

static void test_against_model(void **state)
{
    struct locks *locks = locks_new();
    unsigned refused = 0, who = 0;

    for (unsigned i = 0; i < STEPS; i++) {
        unsigned owner = draw(OWNERS), first = draw(BYTES), length = draw(BYTES - first);
        uint8_t kind = (uint8_t)draw(3);
        unsigned last = length ? first + length - 1 : BYTES - 1;
        struct lock_request probe = {
            .owner = {&clients[owner % 2], owner}, .kind = kind, .start = first, .length = length};
        struct msg_file_lock_reply found;

        if (draw(500) == 0) { /* a connection ends */
            unsigned gone = draw(2);
            locks_forget_all(locks, &clients[gone]);
            for (unsigned o = gone; o < OWNERS; o += 2)
                memset(model[o], 0, BYTES);
        }
        bool conflict = kind && model_conflict(owner, kind, first, last, &who);
        if (kind) {
            assert_int_equal(locks_probe(locks, &file, &probe, &found), 0);
            assert_int_equal(found.kind != LOCK_KIND_NONE, conflict);
            if (conflict) {
                unsigned end = found.length ? (unsigned)(found.start + found.length) : BYTES;
                assert_true(found.start <= last && end > first && found.pid < OWNERS);
                /* All of what it says is held as it says. */
                for (unsigned b = (unsigned)found.start; b < end && b < BYTES; b++)
                    assert_int_equal(model[found.pid][b], found.kind);
            }
        }
        int rc = set(locks, owner, kind, first, length);
        assert_int_equal(rc, conflict ? -EAGAIN : 0);
        refused += conflict;
        if (rc == 0)
            memset(&model[owner][first], kind, last - first + 1);
    }
    assert_true(refused > STEPS / 10 && refused < STEPS * 9 / 10);
    /* Neighbours are joined: an owner's locks are as few as they can be. */
    locks_forget(locks, &file, &clients[0]);
    locks_forget(locks, &file, &clients[1]);
    assert_int_equal(locks_count(locks), 0);
    for (unsigned b = 0; b < 1000; b++)
        assert_int_equal(set(locks, 1, LOCK_KIND_WRITE, b, 1), 0);
    assert_int_equal(locks_count(locks), 1);
    locks_free(locks);
}

static void test_bounds(void **state)
{
    struct locks *locks = locks_new();
    struct lock_request probe = {
        .owner = {&clients[0], 2}, .kind = LOCK_KIND_READ, .start = INT64_MAX};
    struct msg_file_lock_reply found;

    assert_int_equal(set(locks, 1, LOCK_KIND_WRITE, UINT64_MAX, 1), -EINVAL);
    assert_int_equal(set(locks, 1, LOCK_KIND_WRITE, 1, UINT64_MAX), -EOVERFLOW);
    assert_int_equal(set(locks, 1, LOCK_KIND_WRITE, INT64_MAX, 2), -EOVERFLOW);
    assert_int_equal(set(locks, 1, LOCK_KIND_WRITE, INT64_MAX, 1), 0);
    assert_int_equal(locks_probe(locks, &file, &probe, &found), 0);
    assert_int_equal(found.kind, LOCK_KIND_WRITE);
    assert_int_equal(found.start, INT64_MAX);
    assert_int_equal(set(locks, 1, 77, 0, 1), -EINVAL);
    probe.kind = LOCK_KIND_NONE;
    assert_int_equal(locks_probe(locks, &file, &probe, &found), -EINVAL);
    /* Another client's process of the same number is another owner. */
    struct lock_request stranger = {.owner = {&clients[0], 1}, .kind = LOCK_KIND_READ};
    assert_int_equal(locks_set(locks, &file, &stranger), -EAGAIN);
    locks_free(locks);
}

static void test_flock(void **state)
{
    struct locks *locks = locks_new();

    assert_int_equal(set(locks, 1, LOCK_KIND_FLOCK_SHARED, 5, 5), 0);
    assert_int_equal(set(locks, 2, LOCK_KIND_FLOCK_SHARED, 0, 0), 0);
    assert_int_equal(set(locks, 2, LOCK_KIND_FLOCK_SHARED, 0, 0), 0);
    assert_int_equal(locks_count(locks), 2);
    /* Record locks know nothing of it. */
    assert_int_equal(set(locks, 3, LOCK_KIND_WRITE, 0, 0), 0);
    /* A conversion that fails has given up what there was, as flock(2) says. */
    assert_int_equal(set(locks, 2, LOCK_KIND_FLOCK_EXCLUSIVE, 0, 0), -EAGAIN);
    assert_int_equal(set(locks, 1, LOCK_KIND_FLOCK_EXCLUSIVE, 0, 0), 0);
    assert_int_equal(set(locks, 2, LOCK_KIND_FLOCK_SHARED, 0, 0), -EAGAIN);
    assert_int_equal(set(locks, 1, LOCK_KIND_FLOCK_NONE, 0, 0), 0);
    assert_int_equal(set(locks, 1, LOCK_KIND_FLOCK_NONE, 0, 0), 0);
    assert_int_equal(set(locks, 2, LOCK_KIND_FLOCK_EXCLUSIVE, 0, 0), 0);
    assert_int_equal(locks_count(locks), 2);
    locks_free(locks);
}

/* Owners that are clients of their own. */
static const void *owner_of(uint32_t owner)
{
    static int owners[8];
    return &owners[owner];
}

/* A request for one byte. */
static int want(struct locks *locks, const struct file_id *of, uint32_t owner, uint64_t at,
                uint8_t wait)
{
    struct lock_request request = {.owner = {owner_of(owner), owner},
                                   .kind = LOCK_KIND_WRITE,
                                   .wait = wait,
                                   .start = at,
                                   .length = 1};
    return locks_set(locks, of, &request);
}

static void test_deadlock(void **state)
{
    struct locks *locks = locks_new();
    struct file_id other = {.device = 1, .inode = 5};

    /* Three owners in a ring, over two files. */
    assert_int_equal(want(locks, &file, 1, 1, LOCK_WAIT_NO), 0);
    assert_int_equal(want(locks, &file, 2, 2, LOCK_WAIT_NO), 0);
    assert_int_equal(want(locks, &other, 3, 3, LOCK_WAIT_NO), 0);
    assert_int_equal(want(locks, &file, 1, 2, LOCK_WAIT_BEGIN), -EAGAIN);
    assert_int_equal(want(locks, &other, 2, 3, LOCK_WAIT_BEGIN), -EAGAIN);
    assert_int_equal(want(locks, &file, 3, 1, LOCK_WAIT_NO), -EAGAIN);
    assert_int_equal(want(locks, &file, 3, 1, LOCK_WAIT_BEGIN), -EDEADLK);
    /* Refused, it does not wait: the ring is not closed the other way round either. */
    assert_int_equal(want(locks, &other, 2, 3, LOCK_WAIT_BEGIN), -EAGAIN);
    /* Who no longer waits leads nowhere. */
    assert_int_equal(want(locks, &other, 2, 3, LOCK_WAIT_END), 0);
    assert_int_equal(want(locks, &file, 3, 1, LOCK_WAIT_BEGIN), -EAGAIN);
    assert_int_equal(want(locks, &other, 2, 3, LOCK_WAIT_BEGIN), -EDEADLK);
    /* Nor does a wait that could end by now, though nobody has asked again. */
    assert_int_equal(want(locks, &other, 4, 4, LOCK_WAIT_NO), 0);
    assert_int_equal(want(locks, &file, 4, 1, LOCK_WAIT_BEGIN), -EAGAIN);
    assert_int_equal(want(locks, &other, 1, 4, LOCK_WAIT_BEGIN), -EDEADLK);
    locks_forget(locks, &file, owner_of(1));
    assert_int_equal(want(locks, &other, 1, 4, LOCK_WAIT_BEGIN), -EAGAIN);
    locks_free(locks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_model),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_flock),
        cmocka_unit_test(test_deadlock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
