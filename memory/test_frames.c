/* Frames: the budget, references, the reserve, giving back, and threads that take and give. */
#include "test_support.h"

#include <pthread.h>
#include <sys/mman.h>

#include "frames.h"

static void drop(struct frames *frames, const struct frame *held, uint32_t count)
{
    struct frame_batch batch;
    frame_batch_init(&batch, frames);
    for (uint32_t i = 0; i < count; i++)
        frame_batch_drop(&batch, held[i]);
    frame_batch_flush(&batch);
}

static void the_budget_is_a_bound(void **state)
{
    enum { COUNT = 4096 };
    static struct frame held[COUNT + 1];
    static uint8_t seen[COUNT + 1];
    struct frames frames;
    assert_int_equal(frames_init(&frames, COUNT * (uint64_t)LINE_SIZE + 100), 0);
    for (int round = 0; round < 3; round++) {
        uint32_t got = frames_take(&frames, FRAME_FOR_CACHE, held, COUNT + 1);
        assert_int_equal(got, COUNT);
        assert_int_equal(frames_take(&frames, FRAME_FOR_CACHE, held + COUNT, 1), 0);
        memset(seen, 0, sizeof seen);
        for (uint32_t i = 0; i < got; i++) {
            assert_in_range(held[i].n, 1, COUNT);
            assert_false(seen[held[i].n]++);
            memset(frames_data(&frames, held[i]), round, LINE_SIZE);
        }
        drop(&frames, held, got);
        assert_int_equal(frames_used(&frames), 0);
    }
    frames_free(&frames);
}

static void sizes_that_make_no_sense(void **state)
{
    struct frames frames;
    assert_true(frames_init(&frames, 0) < 0);
    assert_true(frames_init(&frames, 63 * LINE_SIZE) < 0);
    assert_true(frames_init(&frames, UINT64_MAX) < 0);
}

static void lines_leave_the_reserve(void **state)
{
    enum { COUNT = 1024 };
    static struct frame held[COUNT];
    struct frames frames;
    assert_int_equal(frames_init(&frames, COUNT * LINE_SIZE), 0);
    uint32_t lines = frames_take(&frames, FRAME_FOR_LINE, held, COUNT);
    assert_int_equal(lines, COUNT - frames.reserve);
    assert_int_equal(frames_available(&frames), 0);
    uint32_t tables = frames_take(&frames, FRAME_FOR_TABLE, held + lines, COUNT);
    assert_int_equal(tables, frames.reserve - frames.reserve / 2);
    uint32_t cache = frames_take(&frames, FRAME_FOR_CACHE, held + lines + tables, COUNT);
    assert_int_equal(lines + tables + cache, COUNT);
    drop(&frames, held, COUNT);
    frames_free(&frames);
}

static void the_last_reference_frees(void **state)
{
    struct frames frames;
    struct frame frame;
    struct frame_batch batch;
    assert_int_equal(frames_init(&frames, 1 << 20), 0);
    assert_int_equal(frames_take(&frames, FRAME_FOR_LINE, &frame, 1), 1);
    assert_true(frames_exclusive(&frames, frame));
    frames_ref(&frames, frame);
    assert_false(frames_exclusive(&frames, frame));
    frame_batch_init(&batch, &frames);
    assert_false(frame_batch_drop(&batch, frame));
    assert_true(frames_exclusive(&frames, frame));
    assert_int_equal(frames_used(&frames), 1);
    assert_true(frame_batch_drop(&batch, frame));
    frame_batch_flush(&batch);
    assert_int_equal(frames_used(&frames), 0);
    frames_free(&frames);
}

static uint64_t resident_pages(const struct frames *frames)
{
    uint64_t pages = frames->count + 1ull, resident = 0;
    unsigned char *map = malloc(pages);
    assert_int_equal(mincore(frames->memory, pages * LINE_SIZE, map), 0);
    for (uint64_t i = 0; i < pages; i++)
        resident += map[i] & 1;
    free(map);
    return resident;
}

/* The host has pages for what was used, and gets most of them back. */
static void pages_come_with_use_and_go_in_bulk(void **state)
{
    enum { COUNT = 48 * 1024 };
    struct frame *held = malloc(COUNT * sizeof *held);
    struct frames frames;
    assert_int_equal(frames_init(&frames, COUNT * (uint64_t)LINE_SIZE), 0);
    assert_int_equal(resident_pages(&frames), 0);
    uint32_t got = frames_take(&frames, FRAME_FOR_LINE, held, COUNT);
    for (uint32_t i = 0; i < got; i++)
        *(uint8_t *)frames_data(&frames, held[i]) = 1;
    assert_true(resident_pages(&frames) >= got);
    drop(&frames, held, got);
    assert_true(resident_pages(&frames) < COUNT / 2);
    /* And all can be had again. */
    assert_int_equal(frames_take(&frames, FRAME_FOR_CACHE, held, COUNT), COUNT);
    drop(&frames, held, COUNT);
    frames_free(&frames);
    free(held);
}

static uint32_t give_kept(void *self, uint32_t want)
{
    struct {
        struct frames *frames;
        struct frame kept[256];
        uint32_t count;
    } *keeper = self;
    uint32_t count = want < keeper->count ? want : keeper->count;
    keeper->count -= count;
    frames_count_cached(keeper->frames, -(int)count);
    drop(keeper->frames, keeper->kept + keeper->count, count);
    return count;
}

static void short_frames_are_reclaimed(void **state)
{
    enum { COUNT = 256 };
    struct frame held[COUNT];
    struct frames frames;
    assert_int_equal(frames_init(&frames, COUNT * LINE_SIZE), 0);
    struct {
        struct frames *frames;
        struct frame kept[256];
        uint32_t count;
    } keeper = {.frames = &frames};
    frames_set_reclaim(&frames, give_kept, &keeper);
    keeper.count = frames_take(&frames, FRAME_FOR_CACHE, keeper.kept, COUNT);
    frames_count_cached(&frames, COUNT);
    assert_int_equal(frames_used(&frames), 0);
    uint32_t got = frames_take(&frames, FRAME_FOR_LINE, held, 200);
    assert_int_equal(got, 200);
    assert_int_equal(frames_used(&frames), 200);
    drop(&frames, held, got);
    drop(&frames, keeper.kept, keeper.count);
    frames_free(&frames);
}

/* Each thread stamps what it holds and finds its stamps again. */
static void *churn(void *argument)
{
    struct frames *frames = argument;
    struct random random = {(uintptr_t)&random};
    struct frame held[100];
    uint64_t wrong = 0;
    for (int round = 0; round < 2000; round++) {
        uint32_t got = frames_take(frames, FRAME_FOR_CACHE, held, 1 + random_below(&random, 100));
        for (uint32_t i = 0; i < got; i++)
            *(uint64_t *)frames_data(frames, held[i]) = (uintptr_t)&random + i;
        for (uint32_t i = 0; i < got; i++)
            wrong += *(uint64_t *)frames_data(frames, held[i]) != (uintptr_t)&random + i;
        drop(frames, held, got);
    }
    return (void *)wrong;
}

static void threads_share_the_budget(void **state)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    struct frames frames;
    assert_int_equal(frames_init(&frames, 256 * LINE_SIZE), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, &frames), 0);
    for (int i = 0; i < THREADS; i++) {
        void *wrong;
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
    assert_int_equal(frames_used(&frames), 0);
    frames_free(&frames);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_budget_is_a_bound),
        cmocka_unit_test(sizes_that_make_no_sense),
        cmocka_unit_test(lines_leave_the_reserve),
        cmocka_unit_test(the_last_reference_frees),
        cmocka_unit_test(pages_come_with_use_and_go_in_bulk),
        cmocka_unit_test(short_frames_are_reclaimed),
        cmocka_unit_test(threads_share_the_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
