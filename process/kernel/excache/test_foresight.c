/* Unit tests of foresight.c: when lines that were written to before come writable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "foresight.h"

static void learn(int count, bool written)
{
    for (int i = 0; i < count; i++)
        foresight_learn(written);
}

/* How many of 800 runs are foreseen to be written to. */
static int foreseen(void)
{
    int count = 0;
    for (int i = 0; i < 800; i++)
        count += foresee_writes();
    return count;
}

static void test_nothing_is_foreseen_at_first(void **state)
{
    (void)state;
    assert_int_equal(foreseen(), 0);
}

static void test_lines_that_are_written_to_again(void **state)
{
    (void)state;
    learn(200, true);
    assert_int_equal(foreseen(), 700);
}

static void test_lines_that_are_read_now(void **state)
{
    (void)state;
    learn(200, true);
    learn(32, false);
    assert_int_equal(foreseen(), 0);
}

static void test_half_of_them_is_not_enough(void **state)
{
    (void)state;
    for (int i = 0; i < 400; i++)
        foresight_learn(i % 2);
    assert_int_equal(foreseen(), 0);
}

static void test_a_few_exceptions_change_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 400; i++)
        foresight_learn(i % 10 != 0);
    assert_int_equal(foreseen(), 700);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_foreseen_at_first),
        cmocka_unit_test(test_lines_that_are_written_to_again),
        cmocka_unit_test(test_lines_that_are_read_now),
        cmocka_unit_test(test_half_of_them_is_not_enough),
        cmocka_unit_test(test_a_few_exceptions_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
