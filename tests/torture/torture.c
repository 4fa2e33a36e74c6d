/*
 * Everything at once: threads that miss, get signals, fork, and have their text rewritten, all
 * compared with a model that the program keeps itself.
 *
 *   torture SEED SECONDS
 *
 * Each thread takes its steps from a generator of its own, seeded by SEED and its number, so a seed
 * names what each thread does; how they interleave differs from run to run. A step is one of:
 *   memory    words of a region larger than the ExCache, each of which tells what was written last
 *   sites     calls from text that is mapped from a file: shared by the threads, or the thread's
 *             own, which is unmapped and mapped anew, made writable and changed
 *   pipe      bytes through a pipe, in pieces
 *   fork      a child that checks its copy of the region and makes calls
 * Meanwhile a thread sends queued signals at random threads, whose handlers touch memory and make
 * calls; as many must arrive as were sent.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "../signals/check.h"

enum {
    THREADS = 4,
    WORDS = 1 << 19, /* of a region: 4 MiB */
    LINE = 4096,
    PAGES = 48, /* of text */
    SLOT = 64,  /* bytes of a site's function */
    SLOTS = PAGES * LINE / SLOT,
    SIGNAL = 40,
    OFTEN = 12, /* calls after which a site is rewritten */
};

typedef long site_fn(long nr);

struct worker {
    pthread_t thread;
    uint64_t random, handler_random;
    uint64_t *words;   /* the region */
    uint8_t *versions; /* how often each line of it was written: the model; of a page of its own */
    uint8_t *text;     /* the thread's own mapping */
    int number, pipe[2];
    volatile int ready;
    volatile unsigned long received;
    unsigned long steps;
};

static struct worker workers[THREADS];
static uint8_t *shared_text;
static int text_fd;
static volatile sig_atomic_t stopping;
static __thread struct worker *self;

static uint64_t next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* ---- text ---- */

static long number_of(uint32_t slot)
{
    return slot % 4 < 2 ? SYS_getpid : SYS_gettid;
}

/* Functions of one call each, of the one form of site and the other in turn. */
static void write_text(void)
{
    static const uint8_t mov[] = {0xb8, 0, 0, 0, 0, 0x0f, 0x05, 0xc3};
    static const uint8_t other[] = {0x89, 0xf8, 0x0f, 0x05, 0xc3};
    static const uint8_t no_op[] = {0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0};
    uint8_t line[LINE];
    char path[] = "/tmp/ashlar-torture-XXXXXX";
    CHECK((text_fd = mkstemp(path)) >= 0 && unlink(path) == 0);
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        uint8_t *at = line + slot * SLOT % LINE;
        memset(at, 0x90, SLOT);
        memcpy(at, slot & 1 ? other : mov, slot & 1 ? sizeof other : sizeof mov);
        if (!(slot & 1))
            at[1] = (uint8_t)number_of(slot);
        memcpy(at + 16, no_op, sizeof no_op);
        if ((slot + 1) * SLOT % LINE == 0)
            CHECK(write(text_fd, line, LINE) == LINE);
    }
}

static uint8_t *map_text(void)
{
    void *at = mmap(NULL, PAGES * LINE, PROT_READ | PROT_EXEC, MAP_PRIVATE, text_fd, 0);
    CHECK(at != MAP_FAILED);
    return at;
}

static void call_sites(const uint8_t *text, uint64_t *random, int count)
{
    long pid = syscall(SYS_getpid), tid = syscall(SYS_gettid);
    uint32_t page = (uint32_t)(next(random) % PAGES); /* few at a time: they are to become hot */
    for (int i = 0; i < count; i++) {
        uint32_t slot = page * (LINE / SLOT) + (uint32_t)(next(random) % 4);
        long nr = number_of(slot);
        long result = ((site_fn *)(uintptr_t)(text + slot * SLOT))(nr);
        CHECK(result == (nr == SYS_getpid ? pid : tid));
    }
}

/* The thread's own text: another call written into it, made, and the old one again. */
static void change_text(struct worker *w)
{
    uint32_t slot = (uint32_t)(next(&w->random) % (SLOTS / 4) * 4); /* a mov with getpid */
    uint8_t *at = w->text + slot * SLOT, *line = w->text + slot * SLOT / LINE * LINE;
    for (int i = 0; i < OFTEN; i++)
        CHECK(((site_fn *)(uintptr_t)at)(0) == getpid());
    CHECK(mprotect(line, LINE, PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
    CHECK(at[0] == 0xb8 && at[1] == SYS_getpid && at[5] == 0x0f);
    at[1] = SYS_gettid;
    CHECK(mprotect(line, LINE, PROT_READ | PROT_EXEC) == 0);
    for (int i = 0; i < OFTEN; i++)
        CHECK(((site_fn *)(uintptr_t)at)(0) == syscall(SYS_gettid));
    CHECK(munmap(w->text, PAGES * LINE) == 0);
    w->text = map_text();
}

/* ---- memory ---- */

static uint64_t word_of(const struct worker *w, uint32_t index, uint8_t version)
{
    return version ? ((uint64_t)index << 24 | (uint64_t)version << 8 | (uint64_t)w->number) : 0;
}

/* One word of a line tells for the line; its place in the line depends on the line. */
static uint32_t index_of(uint32_t line)
{
    return line * (LINE / 8) + line * 7 % (LINE / 8);
}

static void check_line(const struct worker *w, uint32_t line)
{
    uint32_t index = index_of(line);
    CHECK(w->words[index] == word_of(w, index, w->versions[line]));
}

static void use_memory(struct worker *w, int count)
{
    for (int i = 0; i < count; i++) {
        uint32_t line = (uint32_t)(next(&w->random) % (WORDS / (LINE / 8)));
        check_line(w, line);
        if (next(&w->random) & 1) {
            /* The model first and last would differ for a handler of ours; none looks at it. */
            uint32_t index = index_of(line);
            w->versions[line]++;
            w->words[index] = word_of(w, index, w->versions[line]);
        }
    }
    if (next(&w->random) % 64 == 0) {
        uint32_t first = (uint32_t)(next(&w->random) % (WORDS / (LINE / 8) - 16));
        CHECK(madvise((uint8_t *)w->words + (size_t)first * LINE, 16 * LINE, MADV_DONTNEED) == 0);
        memset(w->versions + first, 0, 16);
    }
}

/* ---- the other steps ---- */

static void use_pipe(struct worker *w)
{
    uint8_t out[3000], in[sizeof out];
    size_t size = 1 + next(&w->random) % sizeof out;
    memset(out, (int)next(&w->random), size);
    CHECK(write(w->pipe[1], out, size) == (ssize_t)size);
    for (size_t have = 0; have < size;) {
        ssize_t n = read(w->pipe[0], in + have, 1 + next(&w->random) % (size - have));
        CHECK(n > 0);
        have += (size_t)n;
    }
    CHECK(memcmp(in, out, size) == 0);
}

static void fork_child(struct worker *w)
{
    sigset_t all, old;
    int status;
    sigfillset(&all); /* as a program does that has handlers: they are not the child's */
    CHECK(pthread_sigmask(SIG_SETMASK, &all, &old) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        for (int i = 0; i < 200; i++)
            check_line(w, (uint32_t)(next(&w->random) % (WORDS / (LINE / 8))));
        call_sites(shared_text, &w->random, 20);
        call_sites(w->text, &w->random, 20);
        use_memory(w, 50);
        _exit(0);
    }
    CHECK(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
    while (waitpid(child, &status, 0) < 0)
        CHECK(errno == EINTR);
    CHECK(status == 0);
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
    int saved = errno;
    (void)signal;
    (void)context;
    CHECK(info->si_code == SI_QUEUE && info->si_value.sival_int == self->number);
    self->received++;
    call_sites(shared_text, &self->handler_random, 5);
    /* A line of the region, which may have left: read only, the model is the thread's. */
    volatile uint64_t *words = self->words;
    (void)words[next(&self->handler_random) % WORDS];
    errno = saved;
}

static void *work(void *argument)
{
    struct worker *w = self = argument;
    w->ready = 1;
    while (!stopping) {
        uint64_t what = next(&w->random) % 100;
        w->steps++;
        if (what < 40)
            use_memory(w, 100);
        else if (what < 60)
            call_sites(shared_text, &w->random, 40);
        else if (what < 80)
            call_sites(w->text, &w->random, 40);
        else if (what < 95)
            use_pipe(w);
        else if (what < 99)
            change_text(w);
        else
            fork_child(w);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    uint64_t seed = strtoull(argv[1], NULL, 10), random = seed * 0x9e3779b97f4a7c15ull + 1;
    double end = now() + strtod(argv[2], NULL);
    unsigned long sent[THREADS] = {0};

    write_text();
    shared_text = map_text();
    handle(SIGNAL, on_signal, SA_RESTART);
    for (int i = 0; i < THREADS; i++) {
        struct worker *w = &workers[i];
        w->number = i;
        w->random = next(&random) | 1;
        w->handler_random = next(&random) | 1;
        w->words =
            mmap(NULL, WORDS * 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        w->versions = calloc(WORDS / (LINE / 8), 1);
        w->text = map_text();
        CHECK(w->words != MAP_FAILED && w->versions && pipe(w->pipe) == 0);
        CHECK(pthread_create(&w->thread, NULL, work, w) == 0);
    }
    for (int i = 0; i < THREADS; i++)
        while (!workers[i].ready)
            usleep(100);
    while (now() < end) {
        int to = (int)(next(&random) % THREADS);
        union sigval value = {.sival_int = to};
        if (pthread_sigqueue(workers[to].thread, SIGNAL, value) == 0)
            sent[to]++;
        usleep((useconds_t)(next(&random) % 2000));
    }
    /* Those that wait are delivered before the thread sees `stopping` and ends, or on its way. */
    for (int i = 0; i < THREADS; i++)
        while (workers[i].received < sent[i])
            usleep(100);
    stopping = 1;
    unsigned long steps = 0, signals = 0;
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(workers[i].thread, NULL) == 0);
        for (uint32_t line = 0; line < WORDS / (LINE / 8); line++)
            check_line(&workers[i], line);
        CHECK(workers[i].received == sent[i]);
        steps += workers[i].steps;
        signals += sent[i];
    }
    SHOW("seed %lu: %lu steps, %lu signals", (unsigned long)seed, steps, signals);
    return 0;
}
