/* The queue of events: order, whole events, merging, and what happens when it is full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "event_queue.h"

static void put(struct event_queue *q, int wd, uint32_t mask, const char *name)
{
    char padded[EVENT_NAME_MAX] = "";
    strcpy(padded, name);
    uint32_t len = *name ? ((uint32_t)strlen(name) + 16) & ~15u : 0;
    struct inotify_event event = {.wd = wd, .mask = mask, .len = len};
    event_queue_put(q, &event, padded);
}

static void test_whole_ones(void **state)
{
    struct event_queue q = {0};
    char bytes[64];
    struct inotify_event event;
    put(&q, 1, IN_CREATE, "name");
    put(&q, 2, IN_MODIFY, "");
    assert_int_equal(q.bytes, 48);
    assert_int_equal(event_queue_take(&q, bytes, 0), 0);
    assert_int_equal(event_queue_take(&q, bytes, 31), 0);
    assert_int_equal(event_queue_take(&q, bytes, 47), 32);
    memcpy(&event, bytes, sizeof event);
    assert_int_equal(event.wd, 1);
    assert_string_equal(bytes + sizeof event, "name");
    assert_int_equal(q.bytes, 16);
    assert_int_equal(event_queue_take(&q, bytes, sizeof bytes), 16);
    assert_int_equal(event_queue_take(&q, bytes, sizeof bytes), 0);
    assert_int_equal(q.count, 0);
    put(&q, 3, IN_MODIFY, "");
    event_queue_free(&q);
}

static void test_equal_ones(void **state)
{
    struct event_queue q = {0};
    char bytes[64];
    put(&q, 1, IN_MODIFY, "f");
    put(&q, 1, IN_MODIFY, "f");
    assert_int_equal(q.count, 1);
    put(&q, 1, IN_MODIFY, "g");
    put(&q, 1, IN_MODIFY, "f");
    put(&q, 1, IN_ATTRIB, "f");
    put(&q, 2, IN_ATTRIB, "f");
    put(&q, 2, IN_ATTRIB, "");
    assert_int_equal(q.count, 6);
    put(&q, 2, IN_IGNORED, "");
    put(&q, 2, IN_IGNORED, "");
    assert_int_equal(q.count, 8);
    while (event_queue_take(&q, bytes, sizeof bytes))
        ;
    /* What was read is merged with nothing. */
    put(&q, 2, IN_IGNORED, "");
    put(&q, 1, IN_MODIFY, "f");
    assert_int_equal(event_queue_take(&q, bytes, sizeof bytes), 48);
    put(&q, 1, IN_MODIFY, "f");
    assert_int_equal(q.count, 1);
    event_queue_free(&q);
}

static void test_full(void **state)
{
    struct event_queue q = {0};
    static char bytes[EVENT_QUEUE_MAX * 16 + 64];
    struct inotify_event last;
    for (int i = 0; i < EVENT_QUEUE_MAX + 10; i++)
        put(&q, i, IN_MODIFY, "");
    put(&q, -1, IN_Q_OVERFLOW, "");
    assert_int_equal(q.count, EVENT_QUEUE_MAX + 1);
    assert_int_equal(event_queue_take(&q, bytes, 16), 16);
    put(&q, 7, IN_MODIFY, ""); /* there is still no room but for what says so */
    assert_int_equal(event_queue_take(&q, bytes, 16), 16);
    put(&q, 8, IN_MODIFY, "");
    put(&q, -1, IN_Q_OVERFLOW, "");
    assert_int_equal(q.count, EVENT_QUEUE_MAX);
    uint32_t n = event_queue_take(&q, bytes, sizeof bytes);
    assert_int_equal(n, EVENT_QUEUE_MAX * 16);
    memcpy(&last, bytes + n - 16, sizeof last);
    assert_int_equal(last.wd, 8);
    memcpy(&last, bytes + n - 32, sizeof last);
    assert_int_equal(last.wd, -1);
    assert_int_equal(last.mask, IN_Q_OVERFLOW);
    /* Once it was read it can be said again. */
    put(&q, -1, IN_Q_OVERFLOW, "");
    assert_int_equal(q.count, 1);
    event_queue_free(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_ones),
        cmocka_unit_test(test_equal_ones),
        cmocka_unit_test(test_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
