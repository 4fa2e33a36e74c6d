/*
 * The set of directories that a connection may change.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "limits.h"
#include "rights.h"

/* /link is a link to /real; /none is not there. */
static int canonical(void *self, const char *path, char *out)
{
    if (!strcmp(path, "/none"))
        return -ENOENT;
    strcpy(out, !strcmp(path, "/link") ? "/real" : path);
    return 0;
}

static void test_cover(void **state)
{
    struct rights r;
    assert_int_equal(rights_make(&r, ":/tmp:/home/u/p::/link:/none", canonical, NULL), 0);
    assert_int_equal(r.count, 3);
    assert_true(rights_cover(&r, "/tmp"));
    assert_true(rights_cover(&r, "/tmp/x/y"));
    assert_true(rights_cover(&r, "/home/u/p/x (deleted)"));
    assert_true(rights_cover(&r, "/real/x"));
    assert_false(rights_cover(&r, "/link/x"));
    assert_false(rights_cover(&r, "/none/x"));
    assert_false(rights_cover(&r, "/tmpx"));
    assert_false(rights_cover(&r, "/tm"));
    assert_false(rights_cover(&r, "/home/u"));
    assert_false(rights_cover(&r, "/"));
    assert_false(rights_cover(&r, ""));
    rights_free(&r);
    assert_false(rights_cover(&r, "/tmp"));
}

static void test_everything_and_nothing(void **state)
{
    struct rights r;
    assert_int_equal(rights_make(&r, "/", canonical, NULL), 0);
    assert_true(rights_cover(&r, "/"));
    assert_true(rights_cover(&r, "/any/where"));
    assert_false(rights_cover(&r, ""));
    rights_free(&r);
    assert_int_equal(rights_make(&r, NULL, canonical, NULL), 0);
    assert_false(rights_cover(&r, "/"));
    assert_int_equal(rights_make(&r, "", canonical, NULL), 0);
    assert_false(rights_cover(&r, "/"));
}

static void test_wrong(void **state)
{
    struct rights r;
    char longer[PATH_LIMIT + 2];
    assert_int_equal(rights_make(&r, "/tmp:relative", canonical, NULL), -EINVAL);
    assert_int_equal(r.count, 0);
    memset(longer, 'x', sizeof longer);
    longer[0] = '/';
    longer[sizeof longer - 1] = 0;
    assert_int_equal(rights_make(&r, longer, canonical, NULL), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cover),
        cmocka_unit_test(test_everything_and_nothing),
        cmocka_unit_test(test_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
