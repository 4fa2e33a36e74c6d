/*
 * The table of open files and the holds of a connection, with a file that only counts what is done
 * to it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
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

static void test_holds(void **state)
{
    enum { FILES = 5000 };
    struct handles *handles = handles_new();
    struct client *client = client_new(handles);
    struct file_id ids[FILES];

    for (unsigned i = 0; i < FILES; i++) {
        struct volume_file *file = handles_add(handles, fresh(i));
        ids[i] = file->id;
        assert_non_null(client_hold(client, file));
    }
    /* Every third is held twice; every second is let go: in another order than they came. */
    for (unsigned i = 0; i < FILES; i += 3)
        assert_int_equal(client_hold(client, handles_get(handles, &ids[i]))->count, 2);
    for (unsigned i = FILES; i-- > 0;)
        if (i % 2)
            client_release(client, &ids[i]);
    for (unsigned i = 0; i < FILES; i++) {
        struct client_hold *hold = client_find(client, &ids[i]);
        assert_int_equal(hold ? hold->count : 0, (i % 3 == 0) + (i % 2 == 0));
    }
    assert_int_equal(handles_count(handles), alive);
    client_release(client, &(struct file_id){.inode = 99999});
    client_free(client);
    assert_int_equal(alive, 0);
    assert_int_equal(handles_count(handles), 0);
    handles_free(handles);
}

static void test_writers(void **state)
{
    struct handles *handles = handles_new();
    struct client *a = client_new(handles), *b = client_new(handles);
    struct volume_file *file = handles_add(handles, fresh(1));
    struct file_id id = file->id;

    rested = 0;
    struct client_hold *hold = client_hold(a, file);
    client_hold_writes(a, hold);
    client_hold_writes(a, hold);
    hold = client_hold(b, handles_get(handles, &id));
    client_hold_writes(b, hold);
    client_release(a, &id);
    assert_int_equal(rested, 0);
    assert_non_null(client_hold(a, handles_get(handles, &id)));
    client_release(b, &id);
    assert_int_equal(rested, 1);
    client_free(a);
    client_free(b);
    assert_int_equal(alive, 0);
    handles_free(handles);
}

static void test_sweep(void **state)
{
    struct handles *handles = handles_new();
    struct client *client = client_new(handles);
    unsigned budget = descriptors_start(), taken = 0;
    bool held;

    for (unsigned i = 0; i < 100; i++)
        assert_non_null(client_hold(client, handles_add(handles, fresh(i))));
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
        struct file_id id = {.device = 7, .inode = i, .generation = i * 3};
        assert_non_null(client_file(client, &id, &held));
        assert_true(held);
    }
    relaxed = 0;
    assert_false(descriptors_take(1));
    assert_int_equal(first_relaxed, 99);
    while (taken-- > 0)
        descriptors_give();
    client_free(client);
    handles_free(handles);
}

static struct handles *shared;

static void *hammer(void *argument)
{
    uint64_t random = (uintptr_t)argument;
    struct client *client = client_new(shared);

    for (unsigned i = 0; i < 20000; i++) {
        random = random * 6364136223846793005ull + 1442695040888963407ull;
        struct file_id id = {.device = 7, .inode = (random >> 40) % 20};
        id.generation = id.inode * 3;
        if (random >> 63)
            assert_non_null(client_hold(client, handles_add(shared, fresh(id.inode))));
        else
            client_release(client, &id);
    }
    client_free(client);
    return NULL;
}

static void test_threads(void **state)
{
    pthread_t threads[4];

    shared = handles_new();
    for (uintptr_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, hammer, (void *)(i + 1));
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(handles_count(shared), 0);
    assert_int_equal(alive, 0);
    handles_free(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_references), cmocka_unit_test(test_holds),
        cmocka_unit_test(test_writers),    cmocka_unit_test(test_sweep),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
