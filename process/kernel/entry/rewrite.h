/*
 * Call sites that are rewritten: a system call that the program makes often enters the monitor by a
 * jump, not by a signal.
 *
 * A site is a `syscall` instruction in text of a mapped file that the program cannot write; its
 * line is clean, and stays so: what is patched is the pComponent's copy, again at each fetch. Two
 * forms, both of which leave every instruction of the program where it was, so that no thread can
 * be inside what is patched, and a return address or a signal's frame never lies in it:
 *
 * - mov: where `mov $nr,%eax` stands before the syscall, a jump takes the place of the mov exactly.
 *   The syscall stays: who jumps to it, or was stopped before it, is dispatched, and so is a
 *   restarted call.
 * - short: a two-byte jump takes the place of the syscall exactly. It leads to a long no-op of the
 *   compiler's padding within reach, which becomes a two-byte jump over its own rest (still a no-op
 *   to who runs into it) and, in that rest, the jump to the stub. Breakpoint instructions between
 *   functions will do too.
 *
 * A site is rewritten when it has been dispatched SITE_DISPATCHES times. Rewriting costs what 25 to 35
 * dispatches do; fewer, so that what is met often gains soon, but not those few that every program's
 * start makes from one place.
 */
#ifndef ASHLAR_KERNEL_REWRITE_H
#define ASHLAR_KERNEL_REWRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "types.h"

struct thread;

enum {
    SITE_DISPATCHES = 10,
    HWCAP2_FSGSBASE = 2, /* of AT_HWCAP2: user code may set %gs by an instruction */
};

/* Whether sites are to be rewritten; before the first thread is armed. */
void rewrite_init(bool on);
/* Whether %gs is the monitor's: it holds the thread then. */
bool rewrite_uses_gs(void);
/* The calling host thread's %gs becomes t. */
void rewrite_arm(struct thread *t);

/* The call in t->regs was dispatched: counts its site and may rewrite it. No lock is held. */
void rewrite_dispatched(struct thread *t);

/* Where the program is, for one that was interrupted in a stub or on the way to it: at its site. */
uint64_t rewrite_program_rip(uint64_t rip);
/* Where a call returns to that a stub made by a system call; 0 where rip is not in a stub. */
uint64_t rewrite_return_of(uint64_t rip);

/*
 * A fault or trap of the program at rip: whether it happened on a stub's way and is none of its
 * own. One that steps itself steps over its site; one that has lost %gs gets it back.
 */
bool rewrite_fault(struct thread *t, int signal, uint64_t rip);

/* Patches a line of a file that was fetched. mm.lock is held. */
void rewrite_apply(struct vpn page, uint8_t *line);
/* Lines [first, end) are unmapped or moved away. mm.lock is held for writing. */
void rewrite_forget(struct vpn first, struct vpn end);
/* They are about to become writable: the same, and the patched lines leave. */
void rewrite_restore(struct vpn first, struct vpn end);

/* The program wants %gs for itself: every stub is dispatched from here on. No lock is held. */
void rewrite_give_up_gs(void);

#endif
