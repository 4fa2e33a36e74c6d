/* Line tables and their clones against plain arrays, under random changes; no frame is lost. */
#include "test_support.h"

#include "line_table.h"

enum { TABLES = 5, SPAN = 5 * CHUNK_LINES, BUDGET = 64 * 1024 };

struct world {
    struct frames frames;
    struct frame_batch batch;
    struct line_table tables[TABLES];
    uint64_t stamps[TABLES][SPAN]; /* 0: absent; 1: stored zero; else in the frame's first word */
    uint64_t told[TABLES][SPAN];   /* of a watched one: the stamps, as far as changes were taken */
};

static void check_line(struct world *w, int t, uint32_t line)
{
    uint32_t entry = line_table_get(&w->tables[t], &w->frames, line);
    uint64_t stamp = w->stamps[t][line];
    if (stamp == 0)
        assert_int_equal(entry, LINE_ABSENT);
    else if (stamp == 1)
        assert_int_equal(entry, LINE_STORED_ZERO);
    else
        assert_int_equal(*(uint64_t *)frames_data(&w->frames, (struct frame){entry}), stamp);
}

static void check(struct world *w)
{
    for (int t = 0; t < TABLES; t++) {
        uint32_t count = 0;
        for (uint32_t line = 0; line < SPAN; line++) {
            check_line(w, t, line);
            count += w->stamps[t][line] > 1;
        }
        assert_int_equal(w->tables[t].frames, count);
    }
}

static void store(struct world *w, int t, uint32_t line, uint64_t stamp)
{
    struct line_table *table = &w->tables[t];
    struct frame frame = {LINE_STORED_ZERO};
    assert_int_equal(line_table_own(table, &w->batch, line), 0);
    check_line(w, t, line);
    if (stamp > 1) {
        assert_int_equal(frames_take(&w->frames, FRAME_FOR_LINE, &frame, 1), 1);
        *(uint64_t *)frames_data(&w->frames, frame) = stamp;
    }
    uint32_t old = line_table_set(table, &w->frames, line, frame.n);
    if (old != LINE_ABSENT && old != LINE_STORED_ZERO)
        frame_batch_drop(&w->batch, (struct frame){old});
    w->stamps[t][line] = stamp;
}

/* Begins to watch a table, as one who knows another one or nothing; or takes all that has changed.
 */
static void watch(struct world *w, int t, int known)
{
    struct line_table *table = &w->tables[t];
    if (!table->changed) {
        bool none = known == t;
        assert_int_equal(line_table_watch(table, none ? NULL : &w->tables[known], &w->frames), 0);
        memset(w->told[t], 0, sizeof w->told[t]);
        if (!none)
            memcpy(w->told[t], w->stamps[known], sizeof w->told[t]);
    }
    for (uint32_t line = 0; (line = line_table_take_changed(table, line)) < SPAN; line++)
        w->told[t][line] = w->stamps[t][line];
    assert_memory_equal(w->told[t], w->stamps[t], sizeof w->told[t]);
    assert_int_equal(line_table_take_changed(table, 0), VREGION_LINES);
}

static void change(struct world *w, struct random *r)
{
    int t = (int)random_below(r, TABLES), u = (int)random_below(r, TABLES);
    uint32_t first = (uint32_t)random_below(r, SPAN);
    uint32_t count = 1 + (uint32_t)random_below(r, SPAN - first);
    switch (random_below(r, 10)) {
    case 0:
        assert_int_equal(line_table_prepare_clear(&w->tables[t], &w->batch, first, first + count),
                         0);
        line_table_clear(&w->tables[t], &w->batch, first, first + count);
        memset(&w->stamps[t][first], 0, count * sizeof(uint64_t));
        break;
    case 1:
        if (t == u)
            break;
        line_table_free(&w->tables[u], &w->batch);
        assert_int_equal(line_table_clone(&w->tables[t], &w->tables[u], &w->frames), 0);
        memcpy(w->stamps[u], w->stamps[t], sizeof w->stamps[u]);
        break;
    case 2: {
        uint32_t to = (uint32_t)random_below(r, SPAN - count + 1);
        if (t == u && first < to + count && to < first + count)
            break;
        assert_int_equal(
            line_table_prepare_move(&w->tables[t], first, &w->tables[u], to, count, &w->batch), 0);
        line_table_move(&w->tables[t], first, &w->tables[u], to, count, &w->batch);
        memcpy(&w->stamps[u][to], &w->stamps[t][first], count * sizeof(uint64_t));
        memset(&w->stamps[t][first], 0, count * sizeof(uint64_t));
        break;
    }
    case 3:
    case 4:
        watch(w, t, u);
        if (random_below(r, 8) == 0)
            line_table_unwatch(&w->tables[t]);
        break;
    default:
        for (int i = 0; i < 50; i++)
            store(w, t, (uint32_t)random_below(r, SPAN), 1 + random_below(r, 1u << 30));
    }
}

static void clones_against_arrays(void **state)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct random random = {seed};
        struct world *w = calloc(1, sizeof *w);
        assert_int_equal(frames_init(&w->frames, BUDGET * (uint64_t)LINE_SIZE), 0);
        frame_batch_init(&w->batch, &w->frames);
        for (int i = 0; i < 200; i++) {
            change(w, &random);
            if (i % 10 == 0)
                check(w);
        }
        check(w);
        for (int t = 0; t < TABLES; t++)
            line_table_free(&w->tables[t], &w->batch);
        frame_batch_flush(&w->batch);
        assert_int_equal(frames_used(&w->frames), 0);
        frames_free(&w->frames);
        free(w);
    }
}

/* Cloning a full vRegion takes no frames: the chunks are shared. */
static void a_clone_costs_nothing(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    assert_int_equal(frames_init(&w->frames, BUDGET * (uint64_t)LINE_SIZE), 0);
    frame_batch_init(&w->batch, &w->frames);
    for (uint32_t line = 0; line < SPAN; line++)
        store(w, 0, line, line + 2);
    uint32_t before = frames_used(&w->frames);
    assert_int_equal(before, SPAN + SPAN / CHUNK_LINES);
    assert_int_equal(line_table_clone(&w->tables[0], &w->tables[1], &w->frames), 0);
    assert_int_equal(frames_used(&w->frames), before);
    memcpy(w->stamps[1], w->stamps[0], sizeof w->stamps[0]);
    store(w, 1, 7, 12345); /* a chunk and a line of its own */
    assert_int_equal(frames_used(&w->frames), before + 2);
    check(w);
    line_table_free(&w->tables[0], &w->batch);
    check_line(w, 1, 6);
    line_table_free(&w->tables[1], &w->batch);
    frame_batch_flush(&w->batch);
    assert_int_equal(frames_used(&w->frames), 0);
    frames_free(&w->frames);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clones_against_arrays),
        cmocka_unit_test(a_clone_costs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
