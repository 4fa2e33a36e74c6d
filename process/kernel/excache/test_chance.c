/* Unit tests of chance.c: when clean lines get a second chance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chance.h"

enum { FETCH_NS = 30000, LINES = 64 };

/* Rounds of 64 lines each, of which so many are rescued; a line's move and a rescue take so long.
 */
static void rounds(int count, int rescued, uint64_t move_ns)
{
    for (int i = 0; i < count; i++) {
        (void)chance_pays();
        chance_fetched(LINES, (uint64_t)LINES * FETCH_NS);
        chance_given(LINES * move_ns);
        for (int k = 0; k < rescued; k++)
            chance_taken(move_ns);
        chance_over(LINES);
    }
}

/* How many of `count` rounds get a chance. */
static int chances(int count)
{
    int given = 0;
    for (int i = 0; i < count; i++)
        given += chance_pays();
    return given;
}

static void test_first_lines_get_one(void **state)
{
    (void)state;
    assert_true(chance_pays());
}

static void test_rescues_that_cost_more_than_they_save(void **state)
{
    (void)state;
    rounds(20, 6, 15000); /* a tenth is rescued: 3 us saved a line, 15 spent */
    assert_in_range(chances(16), 1, 4);
}

static void test_the_same_rescues_where_moving_is_cheap(void **state)
{
    (void)state;
    rounds(20, 6, 1000);
    assert_int_equal(chances(16), 16);
}

static void test_many_rescues(void **state)
{
    (void)state;
    rounds(20, 6, 15000);
    assert_in_range(chances(16), 1, 4);
    rounds(20, 60, 10000); /* nearly all are: 28 us saved, 19 spent */
    assert_int_equal(chances(16), 16);
}

static void test_without_a_rescue(void **state)
{
    (void)state;
    rounds(20, 0, 100);
    assert_in_range(chances(16), 1, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_lines_get_one),
        cmocka_unit_test(test_rescues_that_cost_more_than_they_save),
        cmocka_unit_test(test_the_same_rescues_where_moving_is_cheap),
        cmocka_unit_test(test_many_rescues),
        cmocka_unit_test(test_without_a_rescue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
