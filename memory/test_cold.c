/* Cold frames: with real frames, spaces and the store; what it makes of lines of several kinds. */
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>

#include "test_support.h"

#include "cache.h"
#include "cold.h"
#include "errors.h"
#include "spaces.h"

enum { FIRST = VREGION_LINES, HARD_ONE_IN = 8 };

static const struct component home = {3};

/* A line that says what it is: one that gets small or, for some stamps, one that does not. */
static void fill(uint8_t *line, uint64_t stamp)
{
    struct random r = {stamp};
    uint64_t words[LINE_SIZE / 8];
    bool hard = stamp % HARD_ONE_IN == 0;
    for (unsigned i = 0; i < LINE_SIZE / 8; i++)
        words[i] = i == 0 ? stamp : hard ? random_next(&r) : stamp ^ (i % 16);
    memcpy(line, words, LINE_SIZE);
}

static uint64_t stamp_of(const uint8_t *line)
{
    uint8_t expected[LINE_SIZE];
    uint64_t stamp;
    memcpy(&stamp, line, sizeof stamp);
    fill(expected, stamp);
    return memcmp(line, expected, LINE_SIZE) == 0 ? stamp : 0;
}

static void drop(struct frames *frames, const struct frame *held, uint32_t count)
{
    struct frame_batch batch;
    frame_batch_init(&batch, frames);
    for (uint32_t i = 0; i < count; i++)
        frame_batch_drop(&batch, held[i]);
    frame_batch_flush(&batch);
}

static void unpin(struct frames *frames, struct frame frame)
{
    struct frame_batch batch;
    frame_batch_init(&batch, frames);
    frame_batch_unpin(&batch, frame);
    frame_batch_flush(&batch);
}

/* ---- the store ---- */

static void lines_are_kept_small(void **state)
{
    enum { COUNT = 2000, ROUNDS = 20000 };
    static uint32_t slots[COUNT];
    static uint64_t stamps[COUNT];
    struct random r = {7};
    struct packed packed;
    uint8_t line[LINE_SIZE];
    assert_int_equal(packed_init(&packed, COUNT * LINE_SIZE), 0);
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t at = random_below(&r, COUNT);
        if (slots[at]) {
            uint8_t expected[LINE_SIZE];
            struct random of = {stamps[at]};
            uint64_t easy = random_below(&of, LINE_SIZE);
            memset(expected, 0, easy);
            for (uint64_t b = easy; b < LINE_SIZE; b++)
                expected[b] = (uint8_t)random_next(&of);
            assert_int_equal(packed_get(&packed, slots[at], line), 0);
            assert_memory_equal(line, expected, LINE_SIZE);
            packed_drop(&packed, slots[at]);
            slots[at] = 0;
            continue;
        }
        stamps[at] = random_next(&r);
        struct random of = {stamps[at]};
        uint64_t easy = random_below(&of, LINE_SIZE);
        memset(line, 0, easy);
        for (uint64_t b = easy; b < LINE_SIZE; b++)
            line[b] = (uint8_t)random_next(&of);
        slots[at] = packed_put(&packed, line);
        assert_int_not_equal(slots[at], PACKED_NONE);
        if (slots[at] == PACKED_HARD) {
            assert_true(easy < LINE_SIZE - 3000);
            slots[at] = 0;
        }
    }
    for (int i = 0; i < COUNT; i++)
        if (slots[i])
            packed_drop(&packed, slots[i]);
    assert_int_equal(packed_pages(&packed), 0);
    packed_free(&packed);
}

static void a_full_store_says_so(void **state)
{
    enum { COUNT = 20000 };
    static uint32_t slots[COUNT];
    struct packed packed;
    uint8_t line[LINE_SIZE] = {};
    uint32_t count = 0;
    assert_int_equal(packed_init(&packed, 4096), 0);
    while ((slots[count] = packed_put(&packed, line)) != PACKED_NONE)
        count++;
    assert_true(count >= 1024);
    packed_drop(&packed, slots[--count]);
    assert_int_equal(packed_put(&packed, line), slots[count]);
    count++;
    while (count)
        packed_drop(&packed, slots[--count]);
    assert_int_equal(packed_pages(&packed), 0);
    packed_free(&packed);
}

/* What docs/performance.md says of it: lines of a file, or of what is made here. */
static void gain_of(const char *what, const char *path, unsigned kind)
{
    enum { LINES = 4096 };
    static uint32_t slots[LINES];
    struct packed packed;
    struct random r = {1};
    uint8_t line[LINE_SIZE] = {};
    uint32_t seen = 0, kept = 0;
    FILE *f = path ? fopen(path, "r") : NULL;
    assert_true(!path || f);
    assert_int_equal(packed_init(&packed, LINES * LINE_SIZE), 0);
    while (seen < LINES) {
        if (f && fread(line, LINE_SIZE, 1, f) != 1) {
            rewind(f); /* again: each line is packed by itself */
            continue;
        }
        for (unsigned i = 0; !f && kind && i < LINE_SIZE / 8; i++) {
            uint64_t word = kind == 1 ? random_next(&r) : random_below(&r, 1000);
            memcpy(line + i * 8, &word, 8);
        }
        uint32_t slot = packed_put(&packed, line);
        if (slot != PACKED_HARD)
            slots[kept++] = slot;
        seen++;
    }
    print_message("%-28s %5u lines, %5u of them kept in %5u KiB: %u%%\n", what, seen, kept,
                  packed_pages(&packed) * 4, kept ? packed_pages(&packed) * 100 / kept : 100);
    while (kept)
        packed_drop(&packed, slots[--kept]);
    packed_free(&packed);
    if (f)
        fclose(f);
}

static void gains(void **state)
{
    gain_of("zeros", NULL, 0);
    gain_of("random bytes", NULL, 1);
    gain_of("numbers below 1000, 8 bytes", NULL, 2);
    if (getenv("ASHLAR_TEXT"))
        gain_of("text (docs/architecture.md)", getenv("ASHLAR_TEXT"), 0);
    gain_of("a program (this test)", "/proc/self/exe", 0);
}

/* ---- frames ---- */

struct frames_world {
    struct frames frames;
    struct cold cold;
};

static void begin_frames(struct frames_world *w, uint32_t count, uint32_t dram)
{
    assert_int_equal(frames_init(&w->frames, count * (uint64_t)LINE_SIZE), 0);
    assert_int_equal(cold_init(&w->cold, &w->frames, dram * (uint64_t)LINE_SIZE, true, NULL), 0);
}

static void end_frames(struct frames_world *w)
{
    assert_int_equal(atomic_load(&w->frames.in_use), 0);
    assert_int_equal(atomic_load(&w->frames.cooled), 0);
    assert_int_equal(cold_pages(&w->cold), 0);
    cold_free(&w->cold);
    frames_free(&w->frames);
}

static struct frame make_line(struct frames_world *w, uint64_t stamp)
{
    struct frame frame;
    assert_int_equal(frames_take(&w->frames, FRAME_FOR_LINE, &frame, 1), 1);
    fill(frames_data(&w->frames, frame), stamp);
    frames_fill(&w->frames, frame, true, false);
    return frame;
}

static void frames_become_cold_and_hot(void **state)
{
    struct frames_world w;
    struct frame table, taken, easy, hard, shared;
    begin_frames(&w, 1024, 512);
    assert_int_equal(frames_take(&w.frames, FRAME_FOR_TABLE, &table, 1), 1);
    assert_int_equal(frames_take(&w.frames, FRAME_FOR_LINE, &taken, 1), 1); /* not filled */
    easy = make_line(&w, 1);
    hard = make_line(&w, HARD_ONE_IN);
    shared = make_line(&w, 3);
    frames_ref(&w.frames, shared);

    /* One that is pinned stays hot; the others become cold but for the one that cannot. */
    assert_true(frames_pin_used(&w.frames, easy));
    assert_int_equal(cold_cool(&w.cold, 100), 1);
    assert_int_equal(stamp_of(frames_data(&w.frames, easy)), 1);
    unpin(&w.frames, easy);
    assert_int_equal(cold_cool(&w.cold, 100), 1);
    assert_int_equal(cold_cool(&w.cold, 100), 0);
    assert_true(cold_is_stuck(&w.cold));
    assert_int_equal(stamp_of(frames_data(&w.frames, hard)), HARD_ONE_IN);

    /* They come back as they were, and what shares them need not know. */
    assert_false(frames_pin_used(&w.frames, shared));
    assert_int_equal(cold_heat(&w.cold, shared), 0);
    assert_int_equal(stamp_of(frames_data(&w.frames, shared)), 3);
    assert_true(frames_pin(&w.frames, shared));
    unpin(&w.frames, shared);
    unpin(&w.frames, shared);
    assert_int_equal(cold_cool(&w.cold, 100), 1); /* used a round ago */

    /* Overwritten alone, hot and cold; not where it is shared. */
    assert_false(frames_pin_alone(&w.frames, shared));
    assert_true(frames_pin_alone(&w.frames, easy));
    assert_false(frames_pin_alone(&w.frames, easy));
    frames_empty(&w.frames, easy);
    fill(frames_data(&w.frames, easy), 5);
    unpin(&w.frames, easy);
    assert_true(frames_pin(&w.frames, easy));
    assert_int_equal(stamp_of(frames_data(&w.frames, easy)), 5);
    unpin(&w.frames, easy);
    assert_true(frames_pin_alone(&w.frames, hard));
    frames_empty(&w.frames, hard);
    fill(frames_data(&w.frames, hard), 9); /* it gets small now */
    unpin(&w.frames, hard);
    assert_int_equal(cold_cool(&w.cold, 100), 2);

    /* Cold ones that go take their bytes along; a pin keeps one. */
    drop(&w.frames, &easy, 1);
    assert_false(frames_pin(&w.frames, hard));
    drop(&w.frames, &hard, 1);
    assert_int_equal(cold_heat(&w.cold, hard), 0);
    assert_int_equal(stamp_of(frames_data(&w.frames, hard)), 9);
    unpin(&w.frames, hard);
    drop(&w.frames, &shared, 1);
    drop(&w.frames, &shared, 1);
    drop(&w.frames, &table, 1);
    drop(&w.frames, &taken, 1);
    end_frames(&w);
}

/* Work that the cooler has begun is void once the frame is overwritten, though that is over when it
   looks again. */
static void what_is_overwritten_is_not_cooled(void **state)
{
    struct frames_world w;
    begin_frames(&w, 1024, 512);
    struct frame frame = make_line(&w, 1);
    _Atomic uint64_t *word = &w.frames.words[frame.n];
    atomic_fetch_add(word, FRAME_PIN | FRAME_COOLING); /* as the cooler's first step does */
    assert_true(frames_pin_alone(&w.frames, frame));
    fill(frames_data(&w.frames, frame), 2);
    unpin(&w.frames, frame);
    assert_false(atomic_load(word) & FRAME_COOLING);
    unpin(&w.frames, frame);
    assert_int_equal(cold_cool(&w.cold, 100), 1);
    assert_false(frames_pin(&w.frames, frame));
    assert_int_equal(cold_heat(&w.cold, frame), 0);
    assert_int_equal(stamp_of(frames_data(&w.frames, frame)), 2);
    unpin(&w.frames, frame);
    drop(&w.frames, &frame, 1);
    end_frames(&w);
}

static uint32_t pages_of(const struct frames_world *w)
{
    return atomic_load(&w->frames.in_use) - atomic_load(&w->frames.cooled) + cold_pages(&w->cold);
}

static void dram_bounds_pages(void **state)
{
    enum { COUNT = 4096, DRAM = 1024 };
    static struct frame held[COUNT];
    struct frames_world w;
    uint32_t got = 0;
    begin_frames(&w, COUNT, DRAM);
    for (; frames_available(&w.frames); got++) {
        held[got] = make_line(&w, got * HARD_ONE_IN + 1);
        assert_true(pages_of(&w) <= DRAM);
    }
    assert_int_equal(got, COUNT - w.frames.reserve);
    for (uint32_t i = 0; i < got; i++) {
        if (!frames_pin_used(&w.frames, held[i]))
            assert_int_equal(cold_heat(&w.cold, held[i]), 0);
        assert_int_equal(stamp_of(frames_data(&w.frames, held[i])), i * HARD_ONE_IN + 1);
        unpin(&w.frames, held[i]);
        assert_true(pages_of(&w) <= DRAM);
    }
    drop(&w.frames, held, got);
    assert_int_equal(pages_of(&w), 0);

    /* Tables push lines out, too. */
    for (got = 0; got < DRAM; got++)
        held[got] = make_line(&w, got * HARD_ONE_IN + 1);
    for (uint32_t i = 0; i < DRAM / 2; i++)
        assert_int_equal(frames_take(&w.frames, FRAME_FOR_TABLE, &held[got++], 1), 1);
    drop(&w.frames, held, got);

    /* What does not get small finds its bound there, and that it does is known. */
    for (got = 0; frames_take(&w.frames, FRAME_FOR_LINE, &held[got], 1) == 1; got++) {
        fill(frames_data(&w.frames, held[got]), (got + 1) * HARD_ONE_IN);
        frames_fill(&w.frames, held[got], true, false);
    }
    assert_int_equal(got, DRAM - w.frames.reserve);
    assert_int_equal(frames_available(&w.frames), 0);
    uint32_t tables = frames_take(&w.frames, FRAME_FOR_TABLE, held + got, 10);
    assert_int_equal(tables, 10);
    drop(&w.frames, held, got + tables);
    end_frames(&w);
}

/* ---- spaces, and threads ---- */

enum { WRITERS = 3, LINES_MAX = 600 };

struct rig {
    struct frames_world w;
    struct cache cache;
    struct spaces registry;
    struct space *space;
    uint32_t lines, rounds; /* of each writer */
    atomic_bool done;
    atomic_uint wrong, refused, checked;
};

struct writer {
    struct rig *rig;
    uint32_t number;
    pthread_t thread;
};

static uint64_t page_of(const struct rig *rig, uint32_t writer, uint32_t line)
{
    return FIRST + (uint64_t)writer * rig->lines + line;
}

/* What a run of lines says; 0 for one that holds zeros. */
static void read_stamps(struct rig *rig, struct space *space, uint64_t first, uint32_t count,
                        uint64_t *stamps)
{
    struct fetch fetch;
    if (space_fetch(space, (struct vpn){first}, count, &fetch) < 0 ||
        fetch_fill(&fetch, &rig->cache) < 0 || fetch.count != count) {
        atomic_fetch_add(&rig->wrong, 1);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        stamps[i] = 0;
        if (fetch.kinds[i] == LINE_ZERO)
            continue;
        if (fetch.kinds[i] == LINE_DATA)
            stamps[i] = stamp_of(frames_data(&rig->w.frames, fetch.frames[i]));
        if (!stamps[i])
            atomic_fetch_add(&rig->wrong, 1);
    }
    atomic_fetch_add(&rig->checked, count);
    fetch_release(&fetch, &rig->w.frames);
}

static void write_some(struct writer *writer, struct random *r, uint64_t *model)
{
    struct rig *rig = writer->rig;
    uint8_t data[16 * LINE_SIZE];
    struct line_ref refs[16];
    uint64_t stamps[16];
    uint32_t count = 1 + (uint32_t)random_below(r, 16);
    uint32_t at = (uint32_t)random_below(r, rig->lines - count);
    for (uint32_t i = 0; i < count; i++) {
        refs[i] = (struct line_ref){{page_of(rig, writer->number, at + i)}};
        stamps[i] = random_next(r) | 1;
        if (random_below(r, 16) == 0)
            stamps[i] = (stamps[i] & 0xffffff) * HARD_ONE_IN;
        fill(data + i * LINE_SIZE, stamps[i]);
    }
    int rc = space_write(rig->space, refs, count, data);
    if (rc == (int)count)
        memcpy(model + at, stamps, count * sizeof *stamps);
    else if (rc == ASH_NO_FRAMES)
        atomic_fetch_add(&rig->refused, 1);
    else
        atomic_fetch_add(&rig->wrong, 1);
}

/* Writes and reads its own lines, and knows what they say. */
static void *write_and_read(void *argument)
{
    struct writer *writer = argument;
    struct rig *rig = writer->rig;
    struct random r = {writer->number + 100};
    uint64_t model[LINES_MAX] = {}, seen[64];
    for (uint32_t round = 0; round < rig->rounds; round++) {
        write_some(writer, &r, model);
        uint32_t count = 1 + (uint32_t)random_below(&r, 64);
        uint32_t at = (uint32_t)random_below(&r, rig->lines - count);
        read_stamps(rig, rig->space, page_of(rig, writer->number, at), count, seen);
        if (memcmp(seen, model + at, count * sizeof *seen) != 0)
            atomic_fetch_add(&rig->wrong, 1);
    }
    return NULL;
}

/* A clone says the same however often it is asked, whatever its parent writes. */
static void *clone_and_read(void *argument)
{
    struct rig *rig = argument;
    uint64_t first[WRITERS * LINES_MAX], again[64];
    uint32_t all = WRITERS * rig->lines;
    while (!atomic_load(&rig->done)) {
        struct space_birth birth = {.asid = rig->space->asid};
        struct space *child = space_new(&birth, &rig->w.frames);
        if (space_clone(rig->space, child) < 0)
            atomic_fetch_add(&rig->wrong, 1);
        for (int pass = 0; pass < 2; pass++)
            for (uint32_t at = 0, count; at < all; at += count) {
                count = all - at < 64 ? all - at : 64;
                read_stamps(rig, child, FIRST + at, count, pass ? again : first + at);
                if (pass && memcmp(again, first + at, count * sizeof *again) != 0)
                    atomic_fetch_add(&rig->wrong, 1);
            }
        space_put(child);
    }
    return NULL;
}

static void *cool(void *argument)
{
    struct rig *rig = argument;
    while (!atomic_load(&rig->done))
        (void)cold_cool(&rig->w.cold, 64);
    return NULL;
}

static void run_rig(uint32_t count, uint32_t dram, uint32_t lines, struct rig *rig)
{
    struct writer writers[WRITERS];
    pthread_t cloner, coolers[2];
    const struct vm_op map = {.kind = VM_OP_MAP,
                              .prot = PROT_READ | PROT_WRITE,
                              .first = {FIRST},
                              .count = WRITERS * lines};
    *rig = (struct rig){.lines = lines, .rounds = 300};
    begin_frames(&rig->w, count, dram);
    assert_int_equal(cache_init(&rig->cache, &rig->w.frames), 0);
    assert_int_equal(spaces_init(&rig->registry, &rig->w.frames), 0);
    assert_int_equal(spaces_create(&rig->registry, home, 1, 1, &rig->space), 0);
    assert_int_equal(space_grant(rig->space, 1, 1, 0, 0), 0);
    assert_int_equal(space_apply(rig->space, &map), 0);
    assert_int_equal(cold_start(&rig->w.cold), 0);
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.rig = rig, .number = i};
        pthread_create(&writers[i].thread, NULL, write_and_read, &writers[i]);
    }
    pthread_create(&cloner, NULL, clone_and_read, rig);
    for (int i = 0; i < 2; i++)
        pthread_create(&coolers[i], NULL, cool, rig);
    for (uint32_t i = 0; i < WRITERS; i++)
        pthread_join(writers[i].thread, NULL);
    atomic_store(&rig->done, true);
    pthread_join(cloner, NULL);
    for (int i = 0; i < 2; i++)
        pthread_join(coolers[i], NULL);
    cold_stop(&rig->w.cold);
    assert_int_equal(atomic_load(&rig->wrong), 0);
    spaces_destroy(&rig->registry, rig->space);
    space_put(rig->space);
    spaces_free(&rig->registry);
    cache_free(&rig->cache);
    end_frames(&rig->w);
}

static void all_at_once(void **state)
{
    struct rig rig;
    run_rig(8192, 1024, LINES_MAX, &rig);
    assert_int_equal(atomic_load(&rig.refused), 0);
}

/* So few frames that lines are overwritten where they are, and writes refused. */
static void all_at_once_with_few_frames(void **state)
{
    struct rig rig;
    run_rig(1024, 640, 350, &rig);
    assert_true(atomic_load(&rig.refused) > 0);
}

/* Lines that a replica has become cold before those of primaries, in whatever order they came. */
static void replicas_become_cold_first(void **state)
{
    enum { COUNT = 64 };
    static struct space *spaces[2];
    struct frames_world w;
    struct fetch fetch;
    struct line_ref refs[COUNT];
    static uint8_t data[COUNT * LINE_SIZE];
    begin_frames(&w, 1024, 512);
    for (uint32_t i = 0; i < COUNT; i++) {
        refs[i] = (struct line_ref){{FIRST + i}};
        fill(data + i * LINE_SIZE, i * HARD_ONE_IN + 1);
    }
    for (int s = 0; s < 2; s++) {
        struct space_birth birth = {.asid = {16 * (s + 1)},
                                    .role = s ? ROLE_REPLICA : ROLE_PRIMARY};
        const struct vm_op map = {.kind = VM_OP_MAP, .first = {FIRST}, .count = COUNT};
        spaces[s] = space_new(&birth, &w.frames);
        assert_int_equal(space_grant(spaces[s], 1, 1, 0, 0), 0);
        assert_int_equal(space_apply(spaces[s], &map), 0);
        assert_int_equal(space_write(spaces[s], refs, COUNT, data), COUNT);
    }
    assert_int_equal(cold_cool(&w.cold, COUNT), COUNT);
    for (int s = 0; s < 2; s++) {
        assert_int_equal(space_fetch(spaces[s], (struct vpn){FIRST}, COUNT, &fetch), 0);
        for (uint32_t i = 0; i < COUNT; i++)
            assert_int_equal(fetch.kinds[i], s ? FETCH_COLD : LINE_DATA);
        fetch_release(&fetch, &w.frames);
        space_put(spaces[s]);
    }
    end_frames(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_kept_small),
        cmocka_unit_test(a_full_store_says_so),
        cmocka_unit_test(gains),
        cmocka_unit_test(frames_become_cold_and_hot),
        cmocka_unit_test(what_is_overwritten_is_not_cooled),
        cmocka_unit_test(dram_bounds_pages),
        cmocka_unit_test(replicas_become_cold_first),
        cmocka_unit_test(all_at_once),
        cmocka_unit_test(all_at_once_with_few_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
