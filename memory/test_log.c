/* The log: slots and segments over a real file, and frames, spaces and threads over that, with a
   store that fails now and then. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test_support.h"

#include "cache.h"
#include "clock.h"
#include "errors.h"
#include "logged.h"
#include "spaces.h"

enum { FIRST = VREGION_LINES };

static const struct component home = {3}, stores[2] = {{7}, {8}};

/* ---- stores: files ---- */

struct store {
    int fds[2];
    atomic_uint asked;
    atomic_uint fails;  /* one request in so many is not answered; 0: none */
    atomic_uint absent; /* the first so many stores are down */
};

static struct store store;

static bool is_lost(void)
{
    unsigned one_in = atomic_load(&store.fails);
    return one_in && atomic_fetch_add(&store.asked, 1) % one_in == 0;
}

static bool is_down(void *self, struct component id)
{
    return id.n == stores[0].n && atomic_load(&store.absent);
}

static int fd_of(struct component id)
{
    return store.fds[id.n == stores[1].n];
}

static int write_file(void *self, struct component id, uint64_t offset, const struct iovec *pieces,
                      int count)
{
    if (is_lost() || is_down(self, id))
        return ASH_LOST;
    return pwritev(fd_of(id), pieces, count, (off_t)offset) < 0 ? -errno : 0;
}

static int read_file(void *self, struct component id, uint64_t offset, uint32_t length,
                     void (*use)(void *arg, const uint8_t *data, uint32_t size), void *arg)
{
    uint8_t data[LOG_IO_MAX];
    if (is_lost() || is_down(self, id))
        return ASH_LOST;
    ssize_t n = pread(fd_of(id), data, length, (off_t)offset);
    if (n < 0)
        return -errno;
    use(arg, data, (uint32_t)n);
    return 0;
}

static int discard_file(void *self, struct component id, uint64_t offset, uint64_t length)
{
    if (is_lost() || is_down(self, id))
        return ASH_LOST;
    if (!length)
        return ftruncate(fd_of(id), 0) < 0 ? -errno : 0;
    return fallocate(fd_of(id), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                     (off_t)length) < 0
               ? -errno
               : 0;
}

static struct component choose(void *self, const struct component * not, unsigned count)
{
    for (int i = 0; i < 2; i++) {
        bool among = is_down(self, stores[i]);
        for (unsigned j = 0; j < count; j++)
            among |= not [j].n == stores[i].n;
        if (!among)
            return stores[i];
    }
    return (struct component){0};
}

static bool unreached(int rc)
{
    return rc == ASH_LOST;
}

static const struct log_io file_io = {write_file, read_file, discard_file,
                                      choose,     is_down,   unreached};

static void begin_log(struct log *log, uint32_t slots)
{
    /* In memory, whatever the disk is at. */
    store =
        (struct store){.fds = {memfd_create("log", MFD_CLOEXEC), memfd_create("log", MFD_CLOEXEC)}};
    assert_true(store.fds[0] >= 0 && store.fds[1] >= 0);
    assert_int_equal(log_init(log, &file_io, NULL, slots), 0);
    (void)log_tick(log);
    assert_true(log_is_usable(log));
}

static uint64_t file_bytes(void)
{
    struct stat st;
    uint64_t bytes = 0;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fstat(store.fds[i], &st), 0);
        bytes += (uint64_t)st.st_blocks * 512;
    }
    return bytes;
}

/* Nothing is left of it anywhere. */
static void end_log(struct log *log)
{
    assert_int_equal(log->live, 0);
    log_tidy(log);
    assert_int_equal(log->filled, 0);
    assert_int_equal(file_bytes(), 0);
    log_free(log);
    close(store.fds[0]);
    close(store.fds[1]);
}

static void put(struct log *log, const uint64_t *stamps, uint32_t count, uint32_t *slots)
{
    static uint8_t data[LOG_LINES][LINE_SIZE];
    struct log_line lines[LOG_LINES];
    for (uint32_t i = 0; i < count; i++) {
        line_make(data[i], stamps[i]);
        lines[i] = (struct log_line){i + 1, data[i]};
    }
    assert_int_equal(log_put(log, lines, count, slots), 0);
}

struct expected {
    const uint64_t *stamps;
    uint32_t seen;
};

static void expect(void *arg, uint32_t index, const uint8_t *line)
{
    struct expected *e = arg;
    assert_true(line_is(line, e->stamps[index]));
    e->seen++;
}

/* Lines of frames that put() named: it counts them anew in each segment. */
static int get_some(struct log *log, const uint32_t *slots, uint32_t count, struct expected *e)
{
    struct log_place places[FETCH_MAX_LINES];
    for (uint32_t i = 0; i < count; i++)
        places[i] = (struct log_place){slots[i], slots[i] % LOG_LINES + 1};
    e->seen = 0;
    return log_get(log, places, count, expect, e);
}

static void get(struct log *log, const uint32_t *slots, const uint64_t *stamps, uint32_t count)
{
    struct expected e = {stamps, 0};
    assert_int_equal(get_some(log, slots, count, &e), 0);
    assert_int_equal(e.seen, count);
}

/* ---- slots ---- */

static void what_was_put_is_there(void **state)
{
    enum { COUNT = 2000, ROUNDS = 150 };
    static uint32_t slots[COUNT];
    static uint64_t stamps[COUNT];
    struct random r = {1};
    struct log log;
    uint32_t have = 0;
    begin_log(&log, 16 * COUNT); /* nothing is emptied here */
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t some = 1 + (uint32_t)random_below(&r, LOG_LINES);
        if (have + some <= COUNT) {
            for (uint32_t j = 0; j < some; j++)
                stamps[have + j] = random_next(&r) | 1;
            put(&log, stamps + have, some, slots + have);
            have += some;
        }
        uint32_t from = (uint32_t)random_below(&r, have);
        some = have - from < FETCH_MAX_LINES ? have - from : FETCH_MAX_LINES;
        get(&log, slots + from, stamps + from, some);
        for (uint32_t left = (uint32_t)random_below(&r, LOG_LINES); left && have; left--) {
            uint32_t at = (uint32_t)random_below(&r, have);
            log_drop(&log, slots[at]);
            slots[at] = slots[--have];
            stamps[at] = stamps[have];
        }
    }
    while (have)
        log_drop(&log, slots[--have]);
    end_log(&log);
}

/* What is not as it was written is no line; the others of the run are. */
static void a_bad_line_is_found(void **state)
{
    enum { COUNT = 10 };
    uint64_t stamps[COUNT];
    uint32_t slots[COUNT];
    struct log log;
    begin_log(&log, 1000);
    for (uint32_t i = 0; i < COUNT; i++)
        stamps[i] = 100 + i;
    put(&log, stamps, COUNT, slots);
    get(&log, slots, stamps, COUNT);
    off_t third = (off_t)(slots[0] / LOG_LINES) * LOG_LINES * (LINE_SIZE + 8) + 3 * (LINE_SIZE + 8);
    assert_int_equal(pwrite(store.fds[0], "x", 1, third + 77), 1);
    struct expected e = {stamps, 0};
    assert_int_equal(get_some(&log, slots, COUNT, &e), -EIO);
    assert_int_equal(e.seen, COUNT - 1);
    for (uint32_t i = 0; i < COUNT; i++)
        log_drop(&log, slots[i]);

    /* What an earlier use of the segment left is none either. */
    uint32_t again;
    put(&log, stamps, 1, &again);
    assert_int_equal(again, slots[0]);
    assert_int_equal(get_some(&log, slots + 5, 1, &e), -EIO);
    assert_int_equal(e.seen, 0);

    /* Nor is that of another frame, which has the slot now. */
    const struct log_place its = {again, 1}, anothers = {again, 2};
    assert_int_equal(log_get(&log, &its, 1, expect, &e), 0);
    e.seen = 0;
    assert_int_equal(log_get(&log, &anothers, 1, expect, &e), -EIO);
    assert_int_equal(e.seen, 0);
    log_drop(&log, again);
    end_log(&log);
}

/* A store that is silent is waited for, then given up; what comes goes to another one. */
static void a_silent_store_is_lost(void **state)
{
    uint64_t stamps[2] = {11, 22};
    uint32_t slots[2], more;
    struct expected e = {stamps, 0};
    struct log log;
    begin_log(&log, 1000);
    put(&log, stamps, 2, slots);
    atomic_store(&store.absent, 1);
    assert_int_equal(get_some(&log, slots, 2, &e), -EAGAIN);
    assert_false(log_is_usable(&log));
    assert_false(log_tick(&log));
    atomic_store(&store.absent, 0);
    assert_false(log_tick(&log));
    assert_true(log_is_usable(&log));
    get(&log, slots, stamps, 2);

    atomic_store(&store.absent, 1);
    uint64_t began_ms = clock_ms();
    while (!log_tick(&log)) {
        assert_int_equal(get_some(&log, slots, 1, &e), -EAGAIN);
        assert_true(clock_ms() - began_ms < LOG_PATIENCE_MS + 2000);
        usleep(10000);
    }
    assert_true(clock_ms() - began_ms >= LOG_PATIENCE_MS - 100);
    assert_int_equal(get_some(&log, slots, 2, &e), ASH_LOST);
    assert_true(log_is_lost(&log, slots[0]));
    assert_true(log_is_usable(&log));
    put(&log, stamps, 1, &more);
    get(&log, &more, stamps, 1);
    assert_false(log_is_lost(&log, more));
    log_drop(&log, slots[0]);
    log_drop(&log, slots[1]);
    assert_false(log_tick(&log)); /* nothing is missed any more */
    log_drop(&log, more);
    atomic_store(&store.absent, 0);
    usleep(1100000);
    assert_false(log_tick(&log));
    end_log(&log);
}

/* ---- frames ---- */

enum { WRITERS = 3, LINES_MAX = 1000, SIZE = 32768 };

struct rig {
    struct frames frames;
    struct cold cold;
    struct log log;
    struct cache cache;
    struct spaces registry;
    struct space *space;
    atomic_bool done;
    atomic_uint wrong, logged, moved, recalled;
};

struct writer {
    struct rig *rig;
    uint32_t number;
    pthread_t thread;
};

static uint64_t page_of(uint32_t writer, uint32_t line)
{
    return FIRST + (uint64_t)writer * LINES_MAX + line;
}

static uint64_t stamp_of(const uint8_t *line)
{
    uint64_t word;
    memcpy(&word, line, sizeof word);
    uint64_t stamp = word * 0xf1de83e19937733dull; /* 1 / the factor of line_make() */
    return line_is(line, stamp) ? stamp : 0;
}

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
            stamps[i] = stamp_of(frames_data(&rig->frames, fetch.frames[i]));
        if (!stamps[i])
            atomic_fetch_add(&rig->wrong, 1);
    }
    fetch_release(&fetch, &rig->frames);
}

/* Writes and reads its own lines, and knows what they say. */
static void *write_and_read(void *argument)
{
    struct writer *writer = argument;
    struct rig *rig = writer->rig;
    struct random r = {writer->number + 100};
    uint64_t model[LINES_MAX] = {}, seen[64];
    uint8_t data[16 * LINE_SIZE];
    struct line_ref refs[16];
    while (!atomic_load(&rig->done)) {
        uint32_t count = 1 + (uint32_t)random_below(&r, 16);
        uint32_t at = (uint32_t)random_below(&r, LINES_MAX - count);
        for (uint32_t i = 0; i < count; i++) {
            refs[i] = (struct line_ref){{page_of(writer->number, at + i)}};
            model[at + i] = random_next(&r) | 1;
            line_make(data + i * LINE_SIZE, model[at + i]);
        }
        if (space_write(rig->space, refs, count, data) != (int)count)
            atomic_fetch_add(&rig->wrong, 1);
        count = 1 + (uint32_t)random_below(&r, 64);
        at = (uint32_t)random_below(&r, LINES_MAX - count);
        read_stamps(rig, rig->space, page_of(writer->number, at), count, seen);
        if (memcmp(seen, model + at, count * sizeof *seen) != 0)
            atomic_fetch_add(&rig->wrong, 1);
    }
    return NULL;
}

static void await_many_logged(const struct rig *rig)
{
    while (!atomic_load(&rig->done) && frames_logged(&rig->frames) < WRITERS * LINES_MAX / 2)
        usleep(1000);
}

/* A clone says the same however often it is asked, and read without being made hot. */
static void *clone_and_read(void *argument)
{
    struct rig *rig = argument;
    static uint64_t first[WRITERS * LINES_MAX];
    uint64_t again[64];
    while (!atomic_load(&rig->done)) {
        struct space_birth birth = {.asid = rig->space->asid};
        struct space *child = space_new(&birth, &rig->frames);
        if (space_clone(rig->space, child) < 0)
            atomic_fetch_add(&rig->wrong, 1);
        for (int pass = 0; pass < 2; pass++)
            for (uint32_t at = 0, count; at < WRITERS * LINES_MAX; at += count) {
                count = WRITERS * LINES_MAX - at < 64 ? WRITERS * LINES_MAX - at : 64;
                read_stamps(rig, child, FIRST + at, count, pass ? again : first + at);
                if (pass && memcmp(again, first + at, count * sizeof *again) != 0)
                    atomic_fetch_add(&rig->wrong, 1);
            }
        space_put(child);
        await_many_logged(rig);
    }
    return NULL;
}

static void *write_log(void *argument)
{
    struct rig *rig = argument;
    while (!atomic_load(&rig->done)) {
        (void)log_tick(&rig->log);
        atomic_fetch_add(&rig->logged, logged_put_some(&rig->cold));
        atomic_fetch_add(&rig->moved, logged_compact(&rig->cold));
        logged_tidy(&rig->cold);
        usleep(300);
    }
    return NULL;
}

/* Some of the lines come back, and stay. */
static void *recall(void *argument)
{
    struct rig *rig = argument;
    struct frame frames[FETCH_MAX_LINES];
    struct frame_batch batch;
    uint32_t index = 0, line = 0;
    frame_batch_init(&batch, &rig->frames);
    while (!atomic_load(&rig->done)) {
        uint32_t count = space_adopt(rig->space, &index, &line, frames);
        /* Most, so that segments become wasteful and are emptied meanwhile. */
        uint32_t some = 0;
        for (uint32_t i = 0; i < count; i++)
            if (i % 4 == 0)
                frame_batch_unpin(&batch, frames[i]);
            else
                frames[some++] = frames[i];
        int rc = logged_heat(&rig->cold, frames, some, false);
        if (rc < 0 && rc != -EAGAIN)
            atomic_fetch_add(&rig->wrong, 1);
        for (uint32_t i = 0; i < some; i++)
            frame_batch_unpin(&batch, frames[i]);
        atomic_fetch_add(&rig->recalled, some);
        if (index == UINT32_MAX) {
            index = line = 0;
            await_many_logged(rig);
        }
    }
    frame_batch_flush(&batch);
    return NULL;
}

/* It may wait for a store that is silent just now, as long as nobody asks that. */
static void join(struct rig *rig, pthread_t thread)
{
    while (pthread_tryjoin_np(thread, NULL)) {
        (void)log_tick(&rig->log);
        usleep(1000);
    }
}

static void all_at_once(void **state)
{
    enum { MANY = 10000, MANY_EMPTIED = 50 };
    static struct rig rig;
    struct writer writers[WRITERS];
    void *(*const others[])(void *) = {clone_and_read, write_log, recall};
    pthread_t threads[3];
    const struct vm_op map = {.kind = VM_OP_MAP,
                              .prot = PROT_READ | PROT_WRITE,
                              .first = {FIRST},
                              .count = WRITERS * LINES_MAX};
    begin_log(&rig.log, SIZE);
    atomic_store(&store.fails, 97);
    assert_int_equal(frames_init_logged(&rig.frames, SIZE * LINE_SIZE, SIZE * LINE_SIZE), 0);
    assert_int_equal(cold_init(&rig.cold, &rig.frames, SIZE * LINE_SIZE, false, &rig.log), 0);
    assert_int_equal(cache_init(&rig.cache, &rig.frames), 0);
    assert_int_equal(spaces_init(&rig.registry, &rig.frames), 0);
    assert_int_equal(spaces_create(&rig.registry, home, 1, 1, &rig.space), 0);
    atomic_store(&rig.space->backed, true);
    assert_int_equal(space_grant(rig.space, 1, 1, 0, 0), 0);
    assert_int_equal(space_apply(rig.space, &map), 0);
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.rig = &rig, .number = i};
        pthread_create(&writers[i].thread, NULL, write_and_read, &writers[i]);
    }
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, others[i], &rig);
    for (int i = 0; i < 150 && (rig.recalled < MANY || rig.moved < MANY_EMPTIED); i++)
        usleep(100000);
    atomic_store(&rig.done, true);
    for (uint32_t i = 0; i < WRITERS; i++)
        join(&rig, writers[i].thread);
    for (int i = 0; i < 3; i++)
        join(&rig, threads[i]);
    print_message("%u lines logged, %u segments emptied, %u recalled\n", rig.logged, rig.moved,
                  rig.recalled);
    assert_int_equal(atomic_load(&rig.wrong), 0);
    assert_true(rig.recalled >= MANY && rig.moved >= MANY_EMPTIED);

    spaces_destroy(&rig.registry, rig.space);
    space_put(rig.space);
    assert_int_equal(frames_logged(&rig.frames), 0);
    assert_int_equal(frames_backed(&rig.frames), 0);
    assert_int_equal(frames_used(&rig.frames), 0);
    atomic_store(&store.fails, 0);
    usleep(1100000);
    (void)log_tick(&rig.log);
    spaces_free(&rig.registry);
    cache_free(&rig.cache);
    cold_free(&rig.cold);
    frames_free(&rig.frames);
    end_log(&rig.log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_is_there),
        cmocka_unit_test(a_bad_line_is_found),
        cmocka_unit_test(a_silent_store_is_lost),
        cmocka_unit_test(all_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
