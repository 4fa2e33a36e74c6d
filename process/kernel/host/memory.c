/* The monitor's own memory and clock. */
#include <linux/mman.h>
#include <linux/time.h>
#include <linux/time_types.h>

#include "host.h"
#include "limits.h"

#define MAP_ANONYMOUS 0x20
#define MAP_NORESERVE 0x4000
#ifndef MADV_POPULATE_READ /* Linux 5.14 */
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

uint64_t host_now_ns(void)
{
    struct __kernel_timespec ts;
    host_call(__NR_clock_gettime, CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/*
 * The time stamp counter's rate is learnt from the host's clock, between the first use and the
 * first one at least CALIBRATE_NS later; until then the host's clock answers. vDSO code could be
 * called instead, but nothing promises that it keeps off the application's vector registers.
 */
enum {
    CALIBRATE_NS = 2000000,
    CALIBRATE_TICKS_MAX = 20000, /* a clock call that took longer was interrupted: not used */
};
enum ticks_state { TICKS_NEW, TICKS_BUSY, TICKS_BEGUN, TICKS_KNOWN, TICKS_NONE };

static struct {
    uint32_t state; /* enum ticks_state; released by who changed the rate */
    /* Counter and clock at the same time, which never change once BEGUN; nanoseconds of a tick,
       times 2^32, which never changes once KNOWN. */
    struct host_rate rate;
} ticks;

struct host_rate host_rate(void)
{
    bool known = __atomic_load_n(&ticks.state, __ATOMIC_ACQUIRE) == TICKS_KNOWN;
    return known ? ticks.rate : (struct host_rate){0};
}

void host_rate_known(const struct host_rate *rate)
{
    ticks.rate = *rate;
    ticks.state = rate->scale ? TICKS_KNOWN : TICKS_NEW;
}

static bool ticks_invariant(void)
{
    uint32_t a = 0x80000000, b, c, d;
    asm("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
    if (a < 0x80000007)
        return false;
    a = 0x80000007;
    asm("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
    return d & 1u << 8;
}

/* Nanoseconds of a tick, times 2^32. */
static uint64_t ticks_scale(uint64_t ns, uint64_t counted)
{
    for (; ns >> 32; ns >>= 1)
        counted >>= 1;
    return counted ? (ns << 32) / counted : 0;
}

static uint64_t ticks_learn(uint32_t state)
{
    uint64_t before = __builtin_ia32_rdtsc(), now = host_now_ns(), counter = __builtin_ia32_rdtsc();
    if (state == TICKS_NONE || state == TICKS_BUSY || counter - before > CALIBRATE_TICKS_MAX ||
        (state == TICKS_BEGUN && now - ticks.rate.begin_ns < CALIBRATE_NS) ||
        !__atomic_compare_exchange_n(&ticks.state, &state, TICKS_BUSY, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED))
        return now;
    if (state == TICKS_NEW) {
        ticks.rate.begin = counter;
        ticks.rate.begin_ns = now;
        state = ticks_invariant() ? TICKS_BEGUN : TICKS_NONE;
    } else {
        ticks.rate.scale = ticks_scale(now - ticks.rate.begin_ns, counter - ticks.rate.begin);
        state = ticks.rate.scale ? TICKS_KNOWN : TICKS_NONE;
    }
    __atomic_store_n(&ticks.state, state, __ATOMIC_RELEASE);
    return now;
}

uint64_t host_ticks_ns(void)
{
    uint32_t state = __atomic_load_n(&ticks.state, __ATOMIC_ACQUIRE);
    if (state != TICKS_KNOWN)
        return ticks_learn(state);
    unsigned __int128 gone = __builtin_ia32_rdtsc() - ticks.rate.begin;
    return ticks.rate.begin_ns + (uint64_t)(gone * ticks.rate.scale >> 32);
}

/*
 * Most of the monitor's own memory is carved from one large mapping of which little is ever
 * touched: a mapping costs the host microseconds when it is made, and again in every fork and at
 * the end. What is given back is unmapped, and not carved again. `taken` is only ever tried: a
 * signal's handler, and a child that was forked meanwhile, have mappings of their own.
 *
 * Small blocks that were given back are kept for the next: a path's buffer or a file's record lives
 * for one call.
 */
enum {
    ARENA_BYTES = 32 << 20,
    CARVED_MOST = ARENA_BYTES / 4,
    HUGE_BYTES = 2 << 20, /* what the host may make one page of */
    KEPT_BYTES = 8192,
    KEPT_MOST = 8,
};
static struct {
    uint32_t taken;
    /* Who has taken it: */
    uint32_t count;
    void *blocks[KEPT_MOST];
    uint8_t *next; /* of the mapping, what was never given out */
    size_t left;
} own;

static bool own_take(void)
{
    return __atomic_exchange_n(&own.taken, 1, __ATOMIC_ACQUIRE) == 0;
}

static void own_release(void)
{
    __atomic_store_n(&own.taken, 0, __ATOMIC_RELEASE);
}

void host_pages_free(void *memory, size_t size)
{
    host_call(__NR_munmap, memory, size);
}

static void *map(size_t size)
{
    long at = host_call(__NR_mmap, 0, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at < 0 && at > -4096)
        return NULL;
    host_assert((uint64_t)at >= WINDOW_END);
    /* Of tables that are sparse, pages and not 2 MiB at a time, whatever the host's policy. */
    if (size >= HUGE_BYTES)
        host_call(__NR_madvise, at, size, MADV_NOHUGEPAGE);
    return (void *)at;
}

/* Of twice the size, what is aligned; the rest goes back. */
static void *map_aligned(size_t size)
{
    uint8_t *raw = map(2 * size);
    if (!raw)
        return NULL;
    size_t before = -(uintptr_t)raw & (size - 1);
    if (before)
        host_pages_free(raw, before);
    host_pages_free(raw + before + size, size - before);
    return raw + before;
}

/* Who has taken it. `align`: a power of two; what is aligned to more than pages is carved from the
   end, where nothing else is, so that little lies idle between. */
static void *carve(size_t size, size_t align)
{
    for (int try = 0; try < 2; try++) {
        uintptr_t from = (uintptr_t)own.next, end = from + own.left;
        if (align == LINE_SIZE && own.left >= size) {
            own.next += size;
            own.left -= size;
            return (void *)from;
        }
        if (align > LINE_SIZE && (end & ~(align - 1)) >= from + size) {
            own.left = (end & ~(align - 1)) - size - from;
            return own.next + own.left;
        }
        if (own.left)
            host_pages_free(own.next, own.left);
        own.next = map(ARENA_BYTES);
        own.left = own.next ? ARENA_BYTES : 0;
    }
    return NULL;
}

/* NULL: it is to be mapped. */
static void *try_carve(size_t size, size_t align)
{
    if (size > CARVED_MOST || !own_take())
        return NULL;
    void *at = carve(size, align);
    own_release();
    return at;
}

void *host_pages(size_t size)
{
    size_t whole = (size + LINE_SIZE - 1) & ~(size_t)(LINE_SIZE - 1);
    void *at = try_carve(whole, LINE_SIZE);
    return at ? at : map(whole);
}

void *host_pages_aligned(size_t size)
{
    void *at = try_carve(size, size);
    return at ? at : map_aligned(size);
}

static void *kept_get(void)
{
    if (!own_take())
        return NULL;
    void *block = own.count ? own.blocks[--own.count] : NULL;
    own_release();
    return block;
}

static bool kept_put(void *block)
{
    if (!own_take())
        return false;
    bool room = own.count < KEPT_MOST;
    if (room)
        own.blocks[own.count++] = block;
    own_release();
    return room;
}

void *host_alloc(size_t size)
{
    if (size > KEPT_BYTES)
        return host_pages(size);
    void *block = kept_get();
    return block ? memset(block, 0, size) : host_pages(KEPT_BYTES);
}

void host_free(void *memory, size_t size)
{
    if (size > KEPT_BYTES)
        host_pages_free(memory, size);
    else if (!kept_put(memory))
        host_pages_free(memory, KEPT_BYTES);
}

static void populate(const void *at, size_t size, int how)
{
    uint64_t from = (uint64_t)at & ~(uint64_t)(LINE_SIZE - 1);
    host_call(__NR_madvise, from, (uint64_t)at + size - from, how);
}

void host_populate(void *at, size_t size)
{
    populate(at, size, MADV_POPULATE_WRITE);
}

void host_populate_read(const void *at, size_t size)
{
    populate(at, size, MADV_POPULATE_READ);
}

void host_populate_image(void)
{
    extern uint8_t __bss_start[], sparse_start[];
    host_populate(__bss_start, (size_t)(sparse_start - __bss_start));
}
