/* Stubs; see stubs.h. */
#include <linux/mman.h>
#include <stddef.h>

#include "../excache/excache.h"
#include "../host/host.h"
#include "../mm/mm.h"
#include "../loader/loader.h"
#include "stubs.h"
#include "thread.h"

enum {
    STRIP_BYTES = STUB_PAGES * LINE_SIZE,
    STUBS_PART = 16, /* of the ExCache, at most, may be stub pages */
};

static const uint64_t strips[STUB_STRIPS] = {WINDOW_START, PIE_BASE - STRIP_BYTES, WINDOW_END};

/* Protected by mm.lock, held for writing. */
static SPARSE struct {
    uint16_t made[STUB_STRIPS]; /* stubs [0, made) were used once; their pages are mapped */
    uint16_t free_count[STUB_STRIPS];
    uint16_t free[STUB_STRIPS][STUBS_IN_STRIP];
    uint8_t jump_at[STUBS_MAX]; /* where in the stub its last instruction is */
    uint32_t window_pages;      /* stub pages within the window, each for one slot given up */
    bool given[STUB_STRIPS];    /* the program's own */
} stubs;

bool stubs_reserved(uint64_t from, uint64_t to)
{
    for (int i = 0; i < STUB_STRIPS; i++)
        if (!stubs.given[i] && from < strips[i] + STRIP_BYTES && to > strips[i])
            return true;
    return false;
}

void stubs_give(uint64_t from, uint64_t to)
{
    for (int i = 0; i < STUB_STRIPS; i++)
        if (from < strips[i] + STRIP_BYTES && to > strips[i] && !stubs.made[i])
            stubs.given[i] = true;
}

int stub_at(uint64_t address)
{
    for (int i = 0; i < STUB_STRIPS; i++)
        if (!stubs.given[i] && address - strips[i] < STRIP_BYTES)
            return i * STUBS_IN_STRIP + (int)((address - strips[i]) / STUB_BYTES);
    return -1;
}

uint64_t stub_address(int stub)
{
    return strips[stub / STUBS_IN_STRIP] + (uint64_t)(stub % STUBS_IN_STRIP) * STUB_BYTES;
}

static bool reaches(uint64_t from, uint64_t to)
{
    int64_t distance = (int64_t)(to - from);
    return distance == (int32_t)distance;
}

static bool strip_reaches(int strip, uint64_t from)
{
    return reaches(from, strips[strip]) && reaches(from, strips[strip] + STRIP_BYTES);
}

/* A writable copy of the stub page at `page`, or an empty one; NULL: out of memory. */
static uint8_t *page_edit(uint64_t page, bool mapped)
{
    uint8_t *copy = host_pages(LINE_SIZE);
    if (copy && mapped)
        memcpy(copy, (const void *)page, LINE_SIZE);
    return copy;
}

/* Puts an edited copy in the page's place; threads that run there notice nothing else. */
static bool page_put(uint64_t page, uint8_t *copy)
{
    long rc = host_call(__NR_mprotect, copy, LINE_SIZE, PROT_READ | PROT_EXEC);
    if (rc >= 0)
        rc =
            host_call(__NR_mremap, copy, LINE_SIZE, LINE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, page);
    if (rc >= 0 || rc < -4095)
        return true;
    host_pages_free(copy, LINE_SIZE);
    return false;
}

/* A stub page in the window is resident there: it takes the place of a line. */
static bool page_allowed(uint64_t page)
{
    if (page >= WINDOW_END)
        return true;
    if (stubs.window_pages >= excache_budget() / STUBS_PART)
        return false;
    excache_give_up(1);
    stubs.window_pages++;
    return true;
}

static uint8_t *put_bytes(uint8_t *at, const char *bytes, size_t size, uint32_t value)
{
    memcpy(at, bytes, size);
    memcpy(at + size, &value, sizeof value);
    return at + size + sizeof value;
}

static bool write_stub(int stub, long nr, uint64_t to)
{
    uint64_t address = stub_address(stub), page = address & ~(uint64_t)(LINE_SIZE - 1);
    /* A page is mapped once its first stub was made, whatever became of that. */
    bool mapped = stub % STUBS_IN_STRIP % (LINE_SIZE / STUB_BYTES) != 0 ||
                  stub % STUBS_IN_STRIP < stubs.made[stub / STUBS_IN_STRIP];
    uint8_t *copy = mapped || page_allowed(page) ? page_edit(page, mapped) : NULL;
    if (!copy)
        return false;
    uint8_t *begin = copy + (address - page), *at = begin;
    if (nr >= 0)
        at = put_bytes(at, "\xb8", 1, (uint32_t)nr);
    uint64_t next = address + (uint64_t)(at - begin) + 7;
    at = put_bytes(at, "\x48\x8d\x0d", 3, (uint32_t)(to - next));
    stubs.jump_at[stub] = (uint8_t)(at - begin);
    put_bytes(at, "\x65\xff\x24\x25", 4, offsetof(struct thread, entry));
    return page_put(page, copy);
}

int stub_make(uint64_t from, long nr, uint64_t to)
{
    for (int i = 0; i < STUB_STRIPS; i++) {
        if (stubs.given[i] || !strip_reaches(i, from))
            continue;
        bool again = stubs.free_count[i] > 0;
        if (!again && stubs.made[i] == STUBS_IN_STRIP)
            continue;
        int in_strip = again ? stubs.free[i][stubs.free_count[i] - 1] : stubs.made[i];
        int stub = i * STUBS_IN_STRIP + in_strip;
        if (!write_stub(stub, nr, to))
            continue;
        if (again)
            stubs.free_count[i]--;
        else
            stubs.made[i]++;
        return stub;
    }
    return -ENOSPC;
}

void stub_free(int stub)
{
    int strip = stub / STUBS_IN_STRIP;
    stubs.free[strip][stubs.free_count[strip]++] = (uint16_t)(stub % STUBS_IN_STRIP);
}

void stubs_dispatch_all(void)
{
    enum { EACH = LINE_SIZE / STUB_BYTES };
    for (int strip = 0; strip < STUB_STRIPS; strip++) {
        for (int first = 0; first < stubs.made[strip]; first += EACH) {
            uint64_t page = strips[strip] + (uint64_t)first * STUB_BYTES;
            uint8_t *copy = page_edit(page, true);
            if (!copy)
                host_die("out of memory for the program's %%gs");
            for (int i = first; i < first + EACH && i < stubs.made[strip]; i++)
                memcpy(copy + (i - first) * STUB_BYTES + stubs.jump_at[strip * STUBS_IN_STRIP + i],
                       "\x0f\x05", 2);
            if (!page_put(page, copy))
                host_die("the host does not give the program its %%gs");
        }
    }
}
