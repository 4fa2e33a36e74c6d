/*
 * The ExCache: which lines of the program are resident on this pComponent, and how they come and
 * go.
 *
 * Each resident line owns a *slot*; there are as many slots as the budget has lines, so the bound
 * holds by construction. Each line of the address space has a *line word* (lines.h) with its state:
 *
 *   ABSENT  not here. With LINE_REMOTE its content is at the owner; else it is zero, or the file's
 *   BUSY    one thread is filling it or taking it out; others wait on the word
 *   CLEAN   resident and write-protected: the owner has the same content
 *   DIRTY   resident and writable
 *   STAGED  on its way out, in a batch: content sent, page still here, can be rescued
 *
 * Miss: p-local zero line where nothing was ever written back (no message), else one LINE_FETCH for
 * a run of lines; sequential misses double the run. Eviction: when slots run short, and
 * while a fetch is under way, a batch of victims is moved (UFFDIO_MOVE) to a staging region, its
 * dirty lines are sent in one LINE_WRITE whose answer is awaited only when the next batch leaves;
 * a batch is dropped when as many lines as the policy says have left after it. A line touched while
 * staged is rescued: that is the second chance by which recency is learnt, for user space has no
 * accessed bits. Clean lines get one only where that pays (chance.h); else they are dropped at
 * once. Lines that cannot be moved (read-only or executable ranges, pages shared with a fork child,
 * hosts before Linux 6.8) are dropped where they are clean, and staged in place, write-protected,
 * where they are dirty.
 *
 * Messages per miss: 1 (amortised over the run). System calls per single miss: sendto, recv, one
 * ioctl, the signal's return. Copies of the data: socket to buffer, buffer to page.
 */
#ifndef ASHLAR_KERNEL_EXCACHE_H
#define ASHLAR_KERNEL_EXCACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "../mm/mm.h"

struct thread;

void excache_init(uint64_t budget_bytes, int policy);

enum excache_result {
    EXCACHE_OK = 0,      /* the line is there now: repeat the access */
    EXCACHE_MAPERR = -1, /* no such mapping: SIGSEGV, SEGV_MAPERR */
    EXCACHE_ACCERR = -2, /* protection: SIGSEGV, SEGV_ACCERR */
    EXCACHE_BUSERR = -3, /* past the file's end or not to be had: SIGBUS, BUS_ADRERR */
};
/* Serves a fault of the application window. No lock is held by the caller. */
int excache_fault(uint64_t address, bool write, struct thread *t);

/* Forgets lines [first, end), contents included (unmapped, discarded). mm.lock is held for writing.
 */
void excache_forget(struct vpn first, struct vpn end);
/* The lines of [from, from + count) are now at `to`: the host's pages were moved already. */
void excache_moved(struct vpn from, struct vpn to, uint64_t count);
/* Writes back every dirty line of [first, end): they stay, clean. */
void excache_flush_out(struct vpn first, struct vpn end);
/* How many lines are dirty. mm.lock is held for writing. */
uint32_t excache_dirty(void);
/*
 * Whether a line is resident and clean; drops those of [first, end) that are, or that are on their
 * way out: the owner has them. mm.lock is held for writing.
 */
bool excache_is_clean(struct vpn page);
void excache_drop_clean(struct vpn first, struct vpn end);
/* Waits until no write-back is in flight. mm.lock is held for writing. */
void excache_quiesce(void);
/* In a fork child: every resident line is write-protected again. */
void excache_fork_child(void);
/* Gives up slots for good, for pages that are resident in the window otherwise. mm.lock is held. */
void excache_give_up(uint32_t lines);
/* Whether a line is resident now. */
bool excache_has(struct vpn page);
/* Lines with content, here or at the owner; among them those that are not just a file's. */
struct line_counts {
    uint64_t present, own;
};
/* Adds those of some line words. */
void excache_count(const uint32_t *words, uint64_t count, struct line_counts *out);
/* The most lines that may be resident. */
uint32_t excache_budget(void);
/* Lines resident now, staged ones included. */
uint32_t excache_resident(void);

#endif
