/*
 * WATCH_: what a connection is told of, when, and what is left when it ends.
 */
#include "test_rig.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/inotify.h>

enum { SOON_MS = 5000 };

static int watch_as(struct net_conn *conn, const struct file_id *id, const char *path,
                    uint32_t mask)
{
    struct msg_watch_add request = {.file = *id, .mask = mask, .path = path};
    struct msg_watch_add_reply reply;
    int rc = NET_CALL(conn, WATCH_ADD, watch_add, &request, &reply, RIG_TIMEOUT_MS);
    return rc < 0 ? rc : (int)reply.wd;
}

static int watch(struct net_conn *conn, const char *path, uint32_t mask)
{
    struct file_attr attr;
    assert_int_equal(ask_stat(conn, path, true, &attr), 0);
    return watch_as(conn, &attr.id, path, mask);
}

static int unwatch(struct net_conn *conn, int wd)
{
    struct msg_watch_remove request = {.wd = (uint32_t)wd};
    struct msg_watch_remove_reply reply;
    return NET_CALL(conn, WATCH_REMOVE, watch_remove, &request, &reply, RIG_TIMEOUT_MS);
}

/* The masks of the events that there are, or'ed; *count of them. */
static uint32_t events(struct net_conn *conn, unsigned *count)
{
    struct msg_watch_read request = {};
    struct msg_watch_read_reply reply;
    uint32_t masks = 0;
    *count = 0;
    assert_int_equal(NET_CALL(conn, WATCH_READ, watch_read, &request, &reply, RIG_TIMEOUT_MS), 0);
    for (uint32_t at = 0; at < reply.events_size; ++*count) {
        struct inotify_event event;
        memcpy(&event, reply.events + at, sizeof event);
        masks |= event.mask;
        at += (uint32_t)sizeof event + event.len;
    }
    return masks;
}

static void assert_events(struct net_conn *conn, uint32_t masks)
{
    unsigned count;
    assert_int_equal(events(conn, &count), masks);
}

/* Whether it was said, unasked, that there are events. */
static bool rings(struct net_conn *conn, int within_ms)
{
    struct net_frame frame;
    int rc = net_receive(conn, within_ms, &frame);
    if (rc == 0)
        assert_int_equal(frame.header.op, OP_WATCH_READY);
    else
        assert_int_equal(rc, ASH_TIMEOUT);
    return rc == 0;
}

static unsigned watchers(struct rig *rig)
{
    char path[64], link[512], target[64];
    unsigned count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", rig->storage_pid);
    DIR *dir = opendir(path);
    for (struct dirent *e; (e = readdir(dir));) {
        snprintf(link, sizeof link, "%s/%s", path, e->d_name);
        ssize_t n = readlink(link, target, sizeof target - 1);
        target[n < 0 ? 0 : n] = 0;
        count += !strcmp(target, "anon_inode:inotify");
    }
    closedir(dir);
    return count;
}

/* By another connection, and by the host itself: told once, until it is read. */
static void test_told(void **state)
{
    struct rig rig = {0};
    struct file_attr attr;
    unsigned count;

    rig_start(&rig);
    struct net_conn *a = rig_connect(&rig), *b = rig_connect(&rig);
    assert_events(a, 0);
    assert_int_equal(watch(a, rig.rw, IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE), 1);
    assert_int_equal(watch(a, rig.ro, IN_CREATE), 2);
    assert_int_equal(watch(a, rig.ro, IN_CREATE | IN_DELETE), 2);
    assert_int_equal(watch(a, rig.ro, IN_CREATE | IN_MASK_CREATE), -EEXIST);
    assert_false(rings(a, 0));

    assert_int_equal(ask_open(b, rig_path(&rig, "rw/f"), O_WRONLY | O_CREAT, 0644, &attr), 0);
    assert_true(rings(a, SOON_MS));
    assert_int_equal(ask_write(b, &attr.id, 0, "x", 1), 1);
    assert_int_equal(ask_release(b, &attr.id), 0);
    assert_false(rings(a, 50));
    assert_int_equal(events(a, &count), IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE);
    assert_int_equal(count, 3);
    assert_false(rings(a, 0));

    rig_write_file(rig_path(&rig, "ro/g"), "text");
    assert_true(rings(a, SOON_MS));
    assert_events(a, IN_CREATE);
    assert_int_equal(unwatch(a, 2), 0);
    assert_int_equal(unwatch(a, 2), -EINVAL);
    assert_int_equal(unwatch(a, -1), -EINVAL);
    assert_int_equal(unwatch(b, 1), -EINVAL);
    assert_events(a, IN_IGNORED);
    rig_write_file(rig_path(&rig, "ro/h"), "text");
    assert_events(a, 0);

    assert_int_equal(watchers(&rig), 1);
    net_close(a);
    for (int i = 0; watchers(&rig) && i < 100; i++)
        usleep(10000);
    assert_int_equal(watchers(&rig), 0);
    net_close(b);
    rig_stop(&rig);
}

/* What is watched is the file, found by its id, and by its path only where that is still its own.
 */
static void test_identity(void **state)
{
    struct rig rig = {0};
    struct file_attr old, held, none = {.id = {.device = 1, .inode = 2, .generation = 3}};

    rig_start(&rig);
    struct net_conn *conn = rig_connect(&rig);
    const char *path = rig_path(&rig, "rw/f"), *other = rig_path(&rig, "rw/other");
    rig_write_file(path, "text");
    assert_int_equal(ask_stat(conn, path, true, &old), 0);
    assert_int_equal(watch_as(conn, &none.id, path, IN_MODIFY), ASH_STALE_FILE);
    assert_int_equal(watch_as(conn, &old.id, other, IN_MODIFY), ASH_STALE_FILE);
    assert_int_equal(watch_as(conn, &old.id, path, IN_MODIFY), 1);
    assert_int_equal(watch_as(conn, &old.id, path, 0), -EINVAL);
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(watch_as(conn, &old.id, path, IN_MODIFY), ASH_STALE_FILE);

    /* One that is open needs no path. */
    assert_int_equal(ask_open(conn, other, O_PATH, 0, &held), 0);
    assert_int_equal(watch_as(conn, &old.id, path, IN_MODIFY | IN_ATTRIB), 1);
    rig_write_file(other, "more text");
    assert_events(conn, IN_MODIFY);
    net_close(conn);
    rig_stop(&rig);
}

/* Who never reads is told no more, and finds that there were too many. */
static void test_unread(void **state)
{
    struct rig rig = {0};
    unsigned count;

    rig_start(&rig);
    struct net_conn *conn = rig_connect(&rig);
    const char *a = rig_path(&rig, "rw/a"), *b = rig_path(&rig, "rw/b");
    rig_write_file(a, "");
    assert_int_equal(watch(conn, rig.rw, IN_MOVE), 1);
    for (int i = 0; i < 20000; i++)
        assert_int_equal(i % 2 ? rename(b, a) : rename(a, b), 0);
    assert_true(rings(conn, SOON_MS));
    assert_false(rings(conn, 0));
    uint32_t masks, all = 0;
    unsigned total = 0;
    while ((masks = events(conn, &count))) {
        all |= masks;
        total += count;
    }
    assert_int_equal(all, IN_MOVE | IN_Q_OVERFLOW);
    assert_true(total < 40000);
    net_close(conn);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_told),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_unread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
