/* The buffer cache and the files it is for, over a real file. */
#include "test_backing.h"

#include <pthread.h>

#include "cache.h"
#include "errors.h"
#include "types.h"

enum { PAGES = 200 };
#define FILE_BYTES (PAGES * (uint64_t)LINE_SIZE - 1000)

struct world {
    struct frames frames;
    struct cache cache;
    struct files files;
    struct test_backing backing;
    struct file *file;
};

static const struct file_id some_id = {.device = 1, .inode = 2, .generation = 3};

static struct world *world_new(uint32_t frame_count)
{
    struct world *w = calloc(1, sizeof *w);
    struct backing backing = test_backing_open(&w->backing, FILE_BYTES);
    assert_int_equal(frames_init(&w->frames, frame_count * (uint64_t)LINE_SIZE), 0);
    assert_int_equal(cache_init(&w->cache, &w->frames), 0);
    assert_int_equal(files_init(&w->files, backing), 0);
    assert_int_equal(
        files_get(&w->files, some_id, 1, "/some/file", clock_ms() + BACKING_TIMEOUT_MS, &w->file),
        0);
    return w;
}

static void world_free(struct world *w)
{
    if (w->file)
        file_put(w->file);
    while (cache_reclaim(&w->cache, UINT32_MAX))
        ;
    assert_int_equal(frames_cached(&w->frames), 0);
    assert_int_equal(atomic_load(&w->frames.in_use), 0);
    cache_free(&w->cache);
    files_free(&w->files);
    frames_free(&w->frames);
    test_backing_close(&w->backing);
    free(w);
}

/* Of a page that cache_get() gave. */
static void drop(struct world *w, struct frame frame)
{
    struct frame_batch batch;
    frame_batch_init(&batch, &w->frames);
    frame_batch_unpin(&batch, frame);
    frame_batch_flush(&batch);
}

static void expect_page(struct world *w, uint64_t page)
{
    struct frame frame;
    assert_int_equal(cache_get(&w->cache, w->file, page, PAGES, true, &frame), LINE_DATA);
    assert_true(page_is(frames_data(&w->frames, frame), page, FILE_BYTES));
    drop(w, frame);
}

static void a_cluster_is_one_read(void **state)
{
    struct world *w = world_new(1024);
    struct frame frame;
    assert_int_equal(cache_get(&w->cache, w->file, 40, PAGES, false, &frame), -EAGAIN);
    assert_int_equal(atomic_load(&w->backing.reads), 0);
    expect_page(w, 40);
    for (uint64_t page = 32; page < 64; page++)
        expect_page(w, page);
    assert_int_equal(atomic_load(&w->backing.reads), 1);
    assert_int_equal(cache_get(&w->cache, w->file, 40, PAGES, false, &frame), LINE_DATA);
    drop(w, frame);
    assert_int_equal(frames_cached(&w->frames), 32);
    assert_int_equal(frames_used(&w->frames), 0);
    expect_page(w, PAGES - 1); /* the short last page ends in zeros */
    assert_int_equal(cache_get(&w->cache, w->file, PAGES, PAGES, true, &frame), LINE_PAST_END);
    world_free(w);
}

/* The file became shorter since it was mapped. */
static void past_the_real_end(void **state)
{
    struct world *w = world_new(1024);
    struct frame frame;
    assert_int_equal(ftruncate(w->backing.fd, 10 * LINE_SIZE + 5), 0);
    assert_int_equal(cache_get(&w->cache, w->file, 12, PAGES, true, &frame), LINE_PAST_END);
    assert_int_equal(cache_get(&w->cache, w->file, 100, PAGES, true, &frame), LINE_PAST_END);
    assert_int_equal(cache_get(&w->cache, w->file, 10, PAGES, true, &frame), LINE_DATA);
    drop(w, frame);
    assert_int_equal(frames_cached(&w->frames), 11);
    world_free(w);
}

static void failures_are_not_remembered(void **state)
{
    struct world *w = world_new(1024);
    struct frame frame;
    atomic_store(&w->backing.failing, -EIO);
    assert_int_equal(cache_get(&w->cache, w->file, 3, PAGES, true, &frame), LINE_IO_ERROR);
    assert_int_equal(atomic_load(&w->frames.in_use), 0);
    atomic_store(&w->backing.failing, 0);
    expect_page(w, 3);
    world_free(w);
}

static void the_cache_gives_way(void **state)
{
    enum { COUNT = 96 };
    struct world *w = world_new(COUNT);
    struct frame held[COUNT], pinned;
    /* More pages than frames: the cache replaces its own. */
    for (uint64_t page = 0; page < PAGES; page++)
        expect_page(w, page);
    assert_true(frames_cached(&w->frames) <= COUNT);
    /* A page that is being sent outlives its place in the cache. */
    assert_int_equal(cache_get(&w->cache, w->file, 7, PAGES, true, &pinned), LINE_DATA);
    uint32_t got = frames_take(&w->frames, FRAME_FOR_LINE, held, COUNT);
    assert_true(got >= COUNT - w->frames.reserve - 2);
    for (uint32_t i = 0; i < got; i++)
        memset(frames_data(&w->frames, held[i]), 0xaa, LINE_SIZE);
    assert_true(page_is(frames_data(&w->frames, pinned), 7, FILE_BYTES));
    /* The reserve is left to read with. */
    expect_page(w, 150);
    drop(w, pinned);
    struct frame_batch batch;
    frame_batch_init(&batch, &w->frames);
    for (uint32_t i = 0; i < got; i++)
        frame_batch_drop(&batch, held[i]);
    frame_batch_flush(&batch);
    world_free(w);
}

static void *get_page(void *argument)
{
    expect_page(argument, 20);
    return NULL;
}

static void many_misses_wait_for_one_read(void **state)
{
    enum { THREADS = 6 };
    struct world *w = world_new(1024);
    pthread_t threads[THREADS];
    atomic_store(&w->backing.gate, 1);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, get_page, w), 0);
    while (atomic_load(&w->backing.reads) == 0)
        usleep(100);
    atomic_store(&w->backing.gate, 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&w->backing.reads), 1);
    world_free(w);
}

static void *read_at_random(void *argument)
{
    struct world *w = argument;
    struct random random = {(uintptr_t)&random};
    for (int i = 0; i < 1000; i++)
        expect_page(w, random_below(&random, PAGES));
    return NULL;
}

/* Threads that read a file larger than the budget: every page is always the right one. */
static void readers_race_eviction(void **state)
{
    enum { THREADS = 4 };
    struct world *w = world_new(128);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_at_random, w), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    world_free(w);
}

static void a_file_is_held_while_referred_to(void **state)
{
    struct world *w = world_new(1024);
    struct file *again, *other;
    assert_int_equal(
        files_get(&w->files, some_id, 1, "/some/file", clock_ms() + BACKING_TIMEOUT_MS, &again), 0);
    assert_ptr_equal(again, w->file);
    assert_int_equal(atomic_load(&w->backing.holds), 1);
    assert_int_equal(
        files_get(&w->files, some_id, 2, "/some/file", clock_ms() + BACKING_TIMEOUT_MS, &other), 0);
    assert_ptr_not_equal(other, w->file); /* another version is another file */
    file_put(other);
    file_put(again);
    expect_page(w, 1);
    files_tidy(&w->files, clock_ms() + FILE_IDLE_MS);
    assert_int_equal(atomic_load(&w->backing.releases), 1); /* of the other version */
    file_put(w->file);
    w->file = NULL;
    files_tidy(&w->files, clock_ms() - 1);
    assert_int_equal(atomic_load(&w->backing.releases), 1); /* not yet */
    files_tidy(&w->files, clock_ms() + FILE_IDLE_MS);
    assert_int_equal(atomic_load(&w->backing.releases), 2);
    assert_int_equal(w->files.count, 1); /* its pages stay, and are found when it is mapped again */
    assert_int_equal(
        files_get(&w->files, some_id, 1, "/some/file", clock_ms() + BACKING_TIMEOUT_MS, &w->file),
        0);
    assert_int_equal(atomic_load(&w->backing.holds), 3);
    int reads = atomic_load(&w->backing.reads);
    expect_page(w, 1);
    assert_int_equal(atomic_load(&w->backing.reads), reads);
    file_put(w->file);
    w->file = NULL;
    while (cache_reclaim(&w->cache, UINT32_MAX))
        ;
    files_tidy(&w->files, clock_ms() + FILE_IDLE_MS);
    assert_int_equal(w->files.count, 0);
    world_free(w);
}

static void a_file_that_cannot_be_held(void **state)
{
    struct world *w = world_new(1024);
    struct file *file;
    atomic_store(&w->backing.failing, ASH_STALE_FILE);
    assert_int_equal(
        files_get(&w->files, some_id, 9, "/gone", clock_ms() + BACKING_TIMEOUT_MS, &file), 0);
    files_tidy(&w->files, clock_ms() + FILE_IDLE_MS);
    assert_int_equal(w->files.count, 2);
    file_put(file);
    files_tidy(&w->files, clock_ms() + FILE_IDLE_MS);
    assert_int_equal(w->files.count, 1); /* nothing was held, so nothing is released */
    assert_int_equal(atomic_load(&w->backing.releases), 0);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cluster_is_one_read),
        cmocka_unit_test(past_the_real_end),
        cmocka_unit_test(failures_are_not_remembered),
        cmocka_unit_test(the_cache_gives_way),
        cmocka_unit_test(many_misses_wait_for_one_read),
        cmocka_unit_test(readers_race_eviction),
        cmocka_unit_test(a_file_is_held_while_referred_to),
        cmocka_unit_test(a_file_that_cannot_be_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
