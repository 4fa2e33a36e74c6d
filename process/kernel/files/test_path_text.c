/* Paths as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <linux/errno.h>

#include "path_text.h"

static void under(void **state)
{
    assert_true(path_under("/dev", "/dev"));
    assert_true(path_under("/dev/null", "/dev"));
    assert_false(path_under("/device", "/dev"));
    assert_false(path_under("/de", "/dev"));
    assert_true(path_is_local("/proc/self/exe"));
    assert_true(path_is_local("/sys"));
    assert_false(path_is_local("/system"));
    assert_false(path_is_local("/tmp/dev/null"));
}

static void joined(void **state)
{
    char path[PATH_LIMIT] = "b/c";
    assert_int_equal(path_join(path, "/a"), 0);
    assert_string_equal(path, "/a/b/c");
    strcpy(path, "x");
    assert_int_equal(path_join(path, "/"), 0);
    assert_string_equal(path, "/x");
    strcpy(path, "../x/");
    assert_int_equal(path_join(path, "/a/b"), 0);
    assert_string_equal(path, "/a/b/../x/");
}

static void joined_at_the_limit(void **state)
{
    char path[PATH_LIMIT], base[PATH_LIMIT];
    memset(base, 'b', sizeof base);
    base[0] = '/';
    base[PATH_LIMIT - 3] = 0;
    strcpy(path, "x");
    assert_int_equal(path_join(path, base), 0);
    assert_int_equal(strlen(path), PATH_LIMIT - 1);
    strcpy(path, "xy");
    assert_int_equal(path_join(path, base), -ENAMETOOLONG);
    assert_string_equal(path, "xy");
}

static void replaced(void **state)
{
    char path[PATH_LIMIT] = "/proc/self/cwd/rest";
    assert_int_equal(path_make_room(path, 14, 4), 0);
    memcpy(path, "/new", 4);
    assert_string_equal(path, "/new/rest");
    assert_int_equal(path_make_room(path, 0, 0), 0);
    assert_string_equal(path, "/new/rest");
    assert_int_equal(path_make_room(path, 0, PATH_LIMIT - 9), -ENAMETOOLONG);
    assert_int_equal(path_make_room(path, 0, PATH_LIMIT - 10), 0);
}

static void check_normal(const char *from, const char *to)
{
    char path[PATH_LIMIT];
    strcpy(path, from);
    path_normalise(path);
    assert_string_equal(path, to);
}

static void normalised(void **state)
{
    check_normal("/", "/");
    check_normal("//", "/");
    check_normal("/a", "/a");
    check_normal("//a///b/", "/a/b/");
    check_normal("/a/./b/.", "/a/b");
    check_normal("/a/../b", "/b");
    check_normal("/..", "/");
    check_normal("/../../a/..", "/");
    check_normal("/a/b/../../c/..d/...", "/c/..d/...");
    check_normal("/proc/../etc/passwd", "/etc/passwd");
    check_normal("/a/../", "/");
}

static void numbers(void **state)
{
    const char *text = "17/x";
    assert_int_equal(path_number(&text), 17);
    assert_string_equal(text, "/x");
    text = "x";
    assert_int_equal(path_number(&text), -1);
    text = "99999999999999999999";
    assert_int_equal(path_number(&text), -1);
    text = "";
    assert_int_equal(path_number(&text), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(under),      cmocka_unit_test(joined),
        cmocka_unit_test(replaced),   cmocka_unit_test(joined_at_the_limit),
        cmocka_unit_test(normalised), cmocka_unit_test(numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
