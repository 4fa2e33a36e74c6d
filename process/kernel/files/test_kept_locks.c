/* Kept locks against a model: a kind for each of a hundred bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kept_locks.h"
#include "types.h"

enum { BYTES = 100, STEPS = 20000 };

static uint8_t kind_of(const struct kept_locks *k, uint64_t at)
{
    uint8_t kind = LOCK_KIND_NONE;
    for (uint32_t i = 0; i < k->count; i++)
        if (k->locks[i].first <= at && at <= k->locks[i].last) {
            assert_int_equal(kind, LOCK_KIND_NONE); /* no two of them */
            kind = (uint8_t)k->locks[i].kind;
        }
    return kind;
}

static void the_last_change_decides(void **state)
{
    struct kept_locks kept = {};
    uint8_t model[BYTES] = {};
    srand(1);
    for (int step = 0; step < STEPS; step++) {
        /* Lengths that leave at most 20 pieces. */
        uint64_t first = (uint64_t)rand() % BYTES, last = first + 4 + (uint64_t)rand() % 30;
        uint8_t kind = (uint8_t)(rand() % 3);
        first -= first % 5;
        last -= last % 5;
        if (last <= first)
            continue;
        kept_locks_set(&kept, first, last - 1, kind);
        for (uint64_t at = first; at < last && at < BYTES; at++)
            model[at] = kind;
        for (uint64_t at = 0; at < BYTES; at++)
            assert_int_equal(kind_of(&kept, at), model[at]);
        assert_int_equal(kept.lost, 0);
    }
}

static void too_many_are_lost_until_none_is_left(void **state)
{
    struct kept_locks kept = {};
    for (uint64_t i = 0; i <= KEPT_LOCKS_MAX; i++)
        kept_locks_set(&kept, 10 * i, 10 * i + 1, LOCK_KIND_WRITE);
    assert_int_equal(kept.lost, 1);
    kept_locks_set(&kept, 0, 5, LOCK_KIND_NONE);
    assert_int_equal(kept.lost, 1);
    kept_locks_set(&kept, 0, UINT64_MAX, LOCK_KIND_NONE);
    assert_int_equal(kept.lost, 0);
    assert_int_equal(kept.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_change_decides),
        cmocka_unit_test(too_many_are_lost_until_none_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
