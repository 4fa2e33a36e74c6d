/* The ExCache budget: grants never exceed the total, and thin out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "budget.h"
#include "limits.h"

#define MIB (1ull << 20)

static void grants_what_is_asked_or_left(void **state)
{
    struct budget b = {.total_bytes = 100 * MIB};
    assert_int_equal(budget_grant(&b, 64 * MIB), 64 * MIB);
    assert_int_equal(budget_grant(&b, 64 * MIB), 36 * MIB);
    assert_int_equal(b.used_bytes, 100 * MIB);
    assert_int_equal(budget_grant(&b, 64 * MIB), 0);
    budget_return(&b, 36 * MIB);
    assert_int_equal(budget_grant(&b, 16 * MIB), 16 * MIB);
}

static void grants_whole_lines(void **state)
{
    struct budget b = {.total_bytes = 100 * MIB + 17};
    assert_int_equal(budget_grant(&b, MIB + 1) % LINE_SIZE, 0);
    assert_int_equal(budget_grant(&b, 200 * MIB) % LINE_SIZE, 0);
}

static void grants_nothing_useless(void **state)
{
    struct budget b = {.total_bytes = MIB, .used_bytes = MIB - BUDGET_LEAST + LINE_SIZE};
    assert_int_equal(budget_grant(&b, MIB), 0);
    assert_int_equal(budget_grant_child(&b, MIB), 0);
    b.used_bytes -= LINE_SIZE;
    assert_int_equal(budget_grant(&b, MIB), BUDGET_LEAST);
}

static void children_thin_out(void **state)
{
    struct budget b = {.total_bytes = 1024 * MIB};
    uint64_t before = UINT64_MAX;
    unsigned children = 0;
    for (uint64_t got; (got = budget_grant_child(&b, 64 * MIB)) > 0; children++) {
        assert_true(got <= 64 * MIB && got <= before && got >= BUDGET_LEAST);
        assert_true(b.used_bytes <= b.total_bytes);
        before = got;
    }
    /* 13 with their full share while four times that is left, then ever less. */
    assert_true(children > 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grants_what_is_asked_or_left),
        cmocka_unit_test(grants_whole_lines),
        cmocka_unit_test(grants_nothing_useless),
        cmocka_unit_test(children_thin_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
