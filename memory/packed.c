/*
 * Compressed lines: slabs of 64 KiB, each divided into places of one size.
 *
 * The sizes are 64, 128, and then each 256 bytes up to 3072: a line that needs more stays as it is.
 * A place begins with the length of what is in it. Of a slab the free places are a list in the
 * places themselves; slabs with some are listed by size, empty ones are given back to the host.
 * Nothing is moved: lines of one size that go leave their slab to those of the same size that come.
 *
 * Cost of one: the compression (some microseconds), a lock for a few instructions.
 */
#include "packed.h"

#include <errno.h>
#include <lz4.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    SLAB_SIZE = 64 * 1024,
    SLAB_PAGES = SLAB_SIZE / LINE_SIZE,
    PLACE_MIN = 64,
    PLACE_MAX = 3072,
    PLACES_MAX = SLAB_SIZE / PLACE_MIN, /* in a slab, so a slot is slab * PLACES_MAX + place */
    SLABS_MAX = INT32_MAX / PLACES_MAX,
    LENGTH_SIZE = sizeof(uint16_t),
    PLACES_END = UINT16_MAX, /* of a list of free places */
};

struct packed_slab {
    uint32_t next, before; /* in the list that it is in */
    uint16_t size;         /* of its places */
    uint16_t used;
    uint16_t free;  /* the first place of the list */
    uint16_t fresh; /* places from this one on were never used */
};

int packed_init(struct packed *packed, uint64_t size_bytes)
{
    uint64_t count = size_bytes / SLAB_SIZE + PACKED_CLASSES + 1;
    if (count > SLABS_MAX)
        count = SLABS_MAX;
    *packed = (struct packed){.count = (uint32_t)count, .fresh = 1};
    packed->slabs = calloc(count, sizeof *packed->slabs);
    if (!packed->slabs)
        return -ENOMEM;
    void *memory = mmap(NULL, count * SLAB_SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        free(packed->slabs);
        return -ENOMEM;
    }
    packed->memory = memory;
    pthread_mutex_init(&packed->lock, NULL);
    return 0;
}

void packed_free(struct packed *packed)
{
    munmap(packed->memory, (size_t)packed->count * SLAB_SIZE);
    free(packed->slabs);
    pthread_mutex_destroy(&packed->lock);
    *packed = (struct packed){0};
}

static uint8_t *place_at(const struct packed *packed, uint32_t slab, uint32_t place)
{
    return packed->memory + (size_t)slab * SLAB_SIZE + (size_t)place * packed->slabs[slab].size;
}

/* ---- slabs; the lock is held ---- */

static unsigned class_of(uint32_t size)
{
    return size <= 64 ? 0 : size <= 128 ? 1 : 1 + (size + 255) / 256;
}

static uint16_t class_size(unsigned class)
{
    return class == 0 ? 64 : class == 1 ? 128 : (uint16_t)((class - 1) * 256);
}

static void list(struct packed *packed, uint32_t *head, uint32_t slab)
{
    packed->slabs[slab].next = *head;
    packed->slabs[slab].before = 0;
    if (*head)
        packed->slabs[*head].before = slab;
    *head = slab;
}

static void unlist(struct packed *packed, uint32_t *head, uint32_t slab)
{
    const struct packed_slab *s = &packed->slabs[slab];
    if (s->next)
        packed->slabs[s->next].before = s->before;
    if (s->before)
        packed->slabs[s->before].next = s->next;
    else
        *head = s->next;
}

/* Makes a slab one of this class. 0: there is none left. */
static uint32_t begin_slab(struct packed *packed, unsigned class)
{
    uint32_t slab = packed->empty;
    if (slab)
        packed->empty = packed->slabs[slab].next;
    else if (packed->fresh < packed->count)
        slab = packed->fresh++;
    if (!slab)
        return 0;
    packed->slabs[slab] = (struct packed_slab){.size = class_size(class), .free = PLACES_END};
    list(packed, &packed->partly[class], slab);
    atomic_fetch_add_explicit(&packed->pages, SLAB_PAGES, memory_order_relaxed);
    return slab;
}

static bool is_full(const struct packed_slab *s)
{
    return s->used == SLAB_SIZE / s->size;
}

static uint32_t take_place(struct packed *packed, unsigned class)
{
    uint32_t slab = packed->partly[class], place;
    if (!slab)
        slab = begin_slab(packed, class);
    if (!slab)
        return PACKED_NONE;
    struct packed_slab *s = &packed->slabs[slab];
    if (s->free != PLACES_END) {
        place = s->free;
        memcpy(&s->free, place_at(packed, slab, place), sizeof s->free);
    } else {
        place = s->fresh++;
    }
    s->used++;
    if (is_full(s))
        unlist(packed, &packed->partly[class], slab);
    return slab * PLACES_MAX + place;
}

/* ---- lines ---- */

uint32_t packed_put(struct packed *packed, const uint8_t *line)
{
    uint8_t small[PLACE_MAX];
    int size = LZ4_compress_default((const char *)line, (char *)small + LENGTH_SIZE, LINE_SIZE,
                                    PLACE_MAX - LENGTH_SIZE);
    if (size <= 0)
        return PACKED_HARD;
    uint16_t length = (uint16_t)size;
    memcpy(small, &length, LENGTH_SIZE);
    pthread_mutex_lock(&packed->lock);
    uint32_t slot = take_place(packed, class_of(length + LENGTH_SIZE));
    pthread_mutex_unlock(&packed->lock);
    if (slot != PACKED_NONE)
        memcpy(place_at(packed, slot / PLACES_MAX, slot % PLACES_MAX), small, length + LENGTH_SIZE);
    return slot;
}

/* The slab of a slot that is held keeps its size: no lock is needed. */
int packed_get(const struct packed *packed, uint32_t slot, uint8_t *line)
{
    const uint8_t *place = place_at(packed, slot / PLACES_MAX, slot % PLACES_MAX);
    uint16_t length;
    memcpy(&length, place, LENGTH_SIZE);
    if (length > PLACE_MAX - LENGTH_SIZE)
        return -EIO;
    int size =
        LZ4_decompress_safe((const char *)place + LENGTH_SIZE, (char *)line, length, LINE_SIZE);
    return size == LINE_SIZE ? 0 : -EIO;
}

void packed_drop(struct packed *packed, uint32_t slot)
{
    uint32_t slab = slot / PLACES_MAX, place = slot % PLACES_MAX;
    struct packed_slab *s = &packed->slabs[slab];
    unsigned class = class_of(s->size);
    pthread_mutex_lock(&packed->lock);
    memcpy(place_at(packed, slab, place), &s->free, sizeof s->free);
    s->free = (uint16_t)place;
    if (is_full(s))
        list(packed, &packed->partly[class], slab);
    if (--s->used == 0) {
        unlist(packed, &packed->partly[class], slab);
        madvise(packed->memory + (size_t)slab * SLAB_SIZE, SLAB_SIZE, MADV_DONTNEED);
        packed->slabs[slab].next = packed->empty;
        packed->empty = slab;
        atomic_fetch_sub_explicit(&packed->pages, SLAB_PAGES, memory_order_relaxed);
    }
    pthread_mutex_unlock(&packed->lock);
}
