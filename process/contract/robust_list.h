/*
 * What the robust lists of a process's threads go through: for the process itself, and for its
 * node, which reads its memory for that. The lines of it are to stay where they are while a list
 * goes through them: the host walks the lists of a process that is killed, and brings nothing in.
 *
 * Lists are read while their threads change them. Who is about to take lines away protects them
 * first: what is locked after that waits, and what was locked before is on the list, or pending.
 *
 * Freestanding: no libc, no allocation. Two host calls for each ROBUST_PIECE threads, and one for
 * each lock that is held.
 */
#ifndef ASHLAR_PROCESS_ROBUST_LIST_H
#define ASHLAR_PROCESS_ROBUST_LIST_H

#include <linux/futex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ROBUST_HEADS = 32768, /* threads; the lists of more are not looked at */
    ROBUST_PIECE = 64,
    ROBUST_TRIES = 4,    /* of a list whose end was not found */
    ROBUST_LOOKS = 1024, /* reads of one walk: whose memory it is decides how many there are */
};

/* Of one process, at an address that it tells its node. */
struct robust_table {
    uint32_t end;                 /* heads[0, end) are in use or free */
    uint32_t free;                /* the first free one, 1 + its number; 0: none */
    uint64_t heads[ROBUST_HEADS]; /* addresses; odd: free, 1 + twice what `free` was before */
};

struct robust_piece { /* as struct iovec */
    uint64_t address, size;
};

struct robust_head { /* as struct robust_list_head */
    uint64_t next;
    int64_t offset;
    uint64_t pending;
};

struct robust_reader {
    int pid;
    /* process_vm_readv: bytes, or negative. What is not there is not brought. */
    long (*read)(int pid, const struct robust_piece *to, size_t to_count,
                 const struct robust_piece *from, size_t from_count);
    /* Each address in turn that the host will look at. */
    void (*seen)(void *context, uint64_t address);
    void *context;
    uint32_t looks; /* so far; 0 at first */
};

static inline bool robust_get(struct robust_reader *r, void *to, uint64_t from, size_t size)
{
    struct robust_piece here = {(uint64_t)(uintptr_t)to, size}, there = {from, size};
    return r->read(r->pid, &here, 1, &there, 1) == (long)size;
}

static inline void robust_see_entry(struct robust_reader *r, uint64_t link, int64_t offset)
{
    uint64_t entry = link & ~1ull; /* the lowest bit: PI */
    r->seen(r->context, entry);
    r->seen(r->context, entry + (uint64_t)offset);
}

/* False: the list changed meanwhile, or leads to where nothing is. */
static inline bool robust_walk_list(struct robust_reader *r, uint64_t list)
{
    struct robust_head head;
    if (r->looks++ >= ROBUST_LOOKS)
        return true;
    if (!robust_get(r, &head, list, sizeof head))
        return false;
    if (head.pending)
        robust_see_entry(r, head.pending, head.offset);
    uint64_t at = head.next;
    for (int i = 0; i < ROBUST_LIST_LIMIT && at && (at & ~1ull) != list; i++) {
        if (r->looks++ >= ROBUST_LOOKS)
            return true;
        robust_see_entry(r, at, head.offset);
        if (!robust_get(r, &at, at & ~1ull, sizeof at))
            return false;
    }
    return at != 0;
}

/* A head, which is seen itself where there is something on its list. */
static inline void robust_walk_head(struct robust_reader *r, uint64_t list,
                                    const struct robust_head *head)
{
    if (!head->pending && (!head->next || (head->next & ~1ull) == list))
        return;
    r->seen(r->context, list);
    r->seen(r->context, list + sizeof *head - 1);
    for (int tries = 0; tries < ROBUST_TRIES && !robust_walk_list(r, list); tries++) {
    }
}

/* The lists of up to ROBUST_PIECE threads. */
static inline void robust_walk_piece(struct robust_reader *r, const uint64_t *lists, uint32_t count)
{
    struct robust_head heads[ROBUST_PIECE];
    struct robust_piece from[ROBUST_PIECE];
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++)
        if (!(lists[i] & 1))
            from[n++] = (struct robust_piece){lists[i], sizeof *heads};
    for (uint32_t done = 0; done < n && r->looks++ < ROBUST_LOOKS;) {
        struct robust_piece to = {(uint64_t)(uintptr_t)heads, (n - done) * sizeof *heads};
        long got = r->read(r->pid, &to, 1, from + done, n - done);
        uint32_t whole = got < 0 ? 0 : (uint32_t)((size_t)got / sizeof *heads);
        for (uint32_t i = 0; i < whole; i++)
            robust_walk_head(r, from[done + i].address, &heads[i]);
        done += whole + 1; /* one that is away, and so has nothing on it, or the end */
    }
}

static inline void robust_walk(struct robust_reader *r, uint64_t table)
{
    uint64_t lists[ROBUST_PIECE];
    uint32_t end;
    if (!robust_get(r, &end, table + offsetof(struct robust_table, end), sizeof end))
        return;
    if (end > ROBUST_HEADS)
        end = ROBUST_HEADS;
    for (uint32_t i = 0, n; i < end && r->looks < ROBUST_LOOKS; i += n) {
        n = end - i < ROBUST_PIECE ? end - i : ROBUST_PIECE;
        if (!robust_get(r, lists, table + offsetof(struct robust_table, heads) + i * sizeof *lists,
                        n * sizeof *lists))
            return;
        robust_walk_piece(r, lists, n);
    }
}

#endif
