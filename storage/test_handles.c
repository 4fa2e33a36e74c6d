/*
 * The table of open files and the holds of clients, with a file that only counts what is done
 * to it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "client.h"
#include "descriptors.h"

static atomic_uint alive, absorbed, rested, relaxed;
static uint64_t first_relaxed;

static void counting_close(struct volume_file *file)
{
    atomic_fetch_sub(&alive, 1);
    free(file);
}

static void counting_absorb(struct volume_file *file, struct volume_file *fresh)
{
    assert_true(file_id_equal(&file->id, &fresh->id));
    atomic_fetch_add(&absorbed, 1);
    counting_close(fresh);
}

static void counting_rest(struct volume_file *file)
{
    atomic_fetch_add(&rested, 1);
}

static unsigned counting_relax(struct volume_file *file)
{
    if (atomic_fetch_add(&relaxed, 1) == 0)
        first_relaxed = file->id.inode;
    return 1;
}

static bool never(struct volume_file *file, const struct rights *rights)
{
    return false;
}

static const struct file_ops counting = {
    .absorb = counting_absorb,
    .rest = counting_rest,
    .relax = counting_relax,
    .close = counting_close,
    .writable = never,
};

static struct volume_file *fresh(uint64_t inode)
{
    struct volume_file *file = calloc(1, sizeof *file);
    file->ops = &counting;
    file->id = (struct file_id){.device = 7, .inode = inode, .generation = inode * 3};
    atomic_fetch_add(&alive, 1);
    return file;
}

static void test_references(void **state)
{
    struct handles *handles = handles_new();
    struct volume_file *file = handles_add(handles, fresh(1));
    struct file_id id = file->id, other = {.device = 7, .inode = 1};

    assert_ptr_equal(handles_add(handles, fresh(1)), file);
    assert_int_equal(absorbed, 1);
    assert_ptr_equal(handles_get(handles, &id), file);
    assert_null(handles_get(handles, &other)); /* another generation */
    handles_put(handles, file);
    handles_put(handles, file);
    assert_int_equal(alive, 1);
    handles_put(handles, file);
    assert_int_equal(alive, 0);
    assert_null(handles_get(handles, &id));
    handles_free(handles);
}

static struct holding with;

static void start(void)
{
    with = (struct holding){handles_new(), descriptions_new(), locks_new()};
}

static void stop(void)
{
    assert_int_equal(handles_count(with.handles), 0);
    assert_int_equal(descriptions_count(with.descriptions), 0);
    assert_int_equal(locks_count(with.locks), 0);
    assert_int_equal(alive, 0);
    handles_free(with.handles);
    descriptions_free(with.descriptions);
    locks_free(with.locks);
}

static struct held held_of(uint64_t inode, uint64_t description)
{
    return (struct held){{.device = 7, .inode = inode, .generation = inode * 3},
                         {.high = description, .low = description * 77}};
}

static int hold(struct client *client, uint64_t inode, uint64_t description, unsigned flags)
{
    struct held held = held_of(inode, description);
    return client_hold(client, handles_add(with.handles, fresh(inode)), &held.description, flags);
}

static void release(struct client *client, uint64_t inode, uint64_t description)
{
    struct held held = held_of(inode, description);
    client_release(client, &held);
}

static bool holds(struct client *client, uint64_t inode)
{
    struct held held = held_of(inode, 0);
    return client_holds(client, &held.file);
}

/* Without descriptions: counted. */
static void test_holds(void **state)
{
    enum { FILES = 5000 };
    start();
    struct client *client = client_new(&with);

    for (unsigned i = 0; i < FILES; i++)
        assert_int_equal(hold(client, i, 0, 0), 0);
    /* Every third is held twice; every second is let go: in another order than they came. */
    for (unsigned i = 0; i < FILES; i += 3)
        assert_int_equal(hold(client, i, 0, 0), 0);
    for (unsigned i = FILES; i-- > 0;)
        if (i % 2)
            release(client, i, 0);
    for (unsigned i = 0; i < FILES; i++)
        assert_int_equal(holds(client, i), i % 3 == 0 || i % 2 == 0);
    assert_int_equal(handles_count(with.handles), alive);
    release(client, 99999, 0);
    client_free(client);
    stop();
}

/* Of a description: held or not, and its locks are there until the last client lets go. */
static void test_descriptions(void **state)
{
    start();
    struct client *parent = client_new(&with), *child = client_new(&with);
    struct held one = held_of(1, 1), two = held_of(1, 2), three = held_of(3, 3);
    struct client *stranger = client_new(&with);

    assert_int_equal(hold(parent, 1, 1, 0), 0);
    assert_int_equal(hold(parent, 1, 1, 0), 0);
    assert_int_equal(hold(parent, 1, 2, HOLD_WRITES), 0);
    assert_int_equal(hold(parent, 2, 1, 0), ASH_FORBIDDEN); /* another file's */
    assert_int_equal(client_inherit(child, parent), 0);
    struct description *d = client_description(parent, &one);
    struct lock_request lock = {.owner = {d, LOCK_NO_PID}, .kind = LOCK_KIND_FLOCK_EXCLUSIVE};
    assert_int_equal(locks_set(with.locks, &one.file, &lock), 0);
    atomic_store(&d->locks, true);
    description_done(&with, d);

    client_release(parent, &one);
    assert_int_equal(locks_count(with.locks), 1);
    assert_null(client_description(parent, &one));
    client_release(child, &one);
    client_release(child, &one);
    assert_int_equal(locks_count(with.locks), 0);
    assert_true(holds(child, 1)); /* by the other one */

    /* What is named stays, what is not goes, and what is not known cannot be had. */
    assert_int_equal(hold(child, 3, 3, 0), 0);
    assert_int_equal(client_keep(child, &three), 0);
    client_keep_only(child);
    assert_false(holds(child, 1));
    assert_true(holds(child, 3));
    assert_int_equal(client_keep(child, &two), 0);
    client_keep_only(child);
    assert_true(holds(child, 1));
    assert_false(holds(child, 3));
    assert_int_equal(client_keep(child, &three), ASH_STALE_FILE);

    /* A description that was handed on is as good as it was; another one of the file is not. */
    struct volume_file *file = handles_get(with.handles, &two.file);
    assert_int_equal(hold(stranger, 1, 7, 0), 0);
    assert_false(client_may_write(stranger, file, &(struct rights){0}));
    assert_int_equal(hold(stranger, 1, 2, 0), 0);
    assert_true(client_may_write(stranger, file, &(struct rights){0}));
    handles_put(with.handles, file);
    client_free(stranger);
    client_free(child);
    client_free(parent);
    stop();
}

static void test_writers(void **state)
{
    start();
    struct client *a = client_new(&with), *b = client_new(&with);
    struct held program = held_of(1, 9);

    rested = 0;
    assert_int_equal(hold(a, 1, 1, HOLD_WRITES), 0);
    assert_int_equal(hold(a, 1, 1, HOLD_WRITES), 0);
    assert_int_equal(hold(b, 1, 2, HOLD_WRITES), 0);
    release(a, 1, 1);
    assert_int_equal(rested, 0);
    /* Who writes and who executes keep each other out. */
    assert_int_equal(hold(a, 1, 9, 0), 0);
    assert_true(handles_written(with.handles, &program.file));
    assert_int_equal(client_execute(a, &program), -ETXTBSY);
    release(b, 1, 2);
    assert_int_equal(rested, 1);
    assert_false(handles_written(with.handles, &program.file));
    assert_int_equal(client_execute(a, &program), 0);
    assert_int_equal(client_execute(a, &program), 0);
    assert_int_equal(hold(b, 1, 2, HOLD_WRITES), -ETXTBSY);
    assert_false(holds(b, 1));
    release(a, 1, 9);
    assert_int_equal(hold(b, 1, 2, HOLD_WRITES), 0);
    client_free(a);
    client_free(b);
    stop();
}

/* A file is mapped shared on one pComponent at a time, by as many as like. */
static void test_mappers(void **state)
{
    struct component here = {5}, there = {6};
    struct held file = held_of(1, 0);
    start();
    struct client *a = client_new(&with), *b = client_new(&with), *c = client_new(&with);
    assert_int_equal(client_map(a, &file, here), ASH_STALE_FILE);
    assert_int_equal(hold(a, 1, 0, 0), 0);
    assert_int_equal(hold(b, 1, 0, 0), 0);
    assert_int_equal(hold(c, 1, 0, 0), 0);
    assert_int_equal(client_map(a, &file, here), 0);
    assert_int_equal(client_map(a, &file, here), 1);
    assert_int_equal(client_map(b, &file, there), -EBUSY);
    assert_int_equal(client_map(c, &file, here), 0);
    release(a, 1, 0);
    assert_int_equal(client_map(b, &file, there), -EBUSY);
    client_free(c);
    assert_int_equal(client_map(b, &file, there), 0);
    assert_int_equal(hold(a, 1, 0, 0), 0);
    assert_int_equal(client_map(a, &file, here), -EBUSY);
    client_free(a);
    client_free(b);
    stop();
}

static void test_sweep(void **state)
{
    start();
    struct client *client = client_new(&with);
    unsigned budget = descriptors_start(), taken = 0;

    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(hold(client, i, 0, 0), 0);
    relaxed = 0;
    while (taken < budget) {
        assert_true(descriptors_take(1));
        taken++;
    }
    assert_int_equal(relaxed, 0);
    assert_false(descriptors_take(1)); /* the counting file gives back nothing really */
    assert_true(relaxed > 0 && relaxed < 100);
    /* What has just been used is passed over for as long as there is something else. */
    for (unsigned i = 0; i < 99; i++) {
        struct held held = held_of(i, 0);
        struct volume_file *file = handles_get(with.handles, &held.file);
        atomic_store(&file->recent, true);
        handles_put(with.handles, file);
    }
    relaxed = 0;
    assert_false(descriptors_take(1));
    assert_int_equal(first_relaxed, 99);
    while (taken-- > 0)
        descriptors_give();
    client_free(client);
    stop();
}

static struct client *shared;

/* The odd ones are connections of one client. */
static void *hammer(void *argument)
{
    uint64_t random = (uintptr_t)argument;
    struct client *client = random % 2 ? shared : client_new(&with);

    for (unsigned i = 0; i < 20000; i++) {
        random = random * 6364136223846793005ull + 1442695040888963407ull;
        uint64_t inode = (random >> 40) % 20;
        if (random >> 63)
            assert_int_equal(hold(client, inode, inode + 1, 0), 0);
        else
            release(client, inode, inode + 1);
    }
    if (client != shared)
        client_free(client);
    return NULL;
}

static void test_threads(void **state)
{
    pthread_t threads[4];

    start();
    shared = client_new(&with);
    for (uintptr_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, hammer, (void *)(i + 1));
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    client_free(shared);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_references),   cmocka_unit_test(test_holds),
        cmocka_unit_test(test_descriptions), cmocka_unit_test(test_writers),
        cmocka_unit_test(test_sweep),        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_mappers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
