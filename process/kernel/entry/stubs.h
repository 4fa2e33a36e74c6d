/*
 * Stubs: the code that rewritten call sites jump to, which enters the monitor without a signal.
 *
 * A jump reaches 2 GiB, so stubs lie in three strips of addresses: at the low end of the window
 * (programs linked at a fixed address), below the place of position-independent programs, and just
 * above the window (libraries are mapped downwards from its end). The strips within the window are
 * not the program's to map. Stub pages are resident memory of the monitor, readable and executable,
 * for each of which in the window the ExCache gives up a line;
 * one is replaced as a whole, by a mapping that is moved over it, when a stub is added.
 *
 * A stub (STUB_BYTES):
 *     mov $nr, %eax               only where it was taken from the site
 *     lea RETURN(%rip), %rcx      both registers are the kernel's to clobber
 *     jmp *%gs:ENTRY              entry.S, fast_entry; %gs: struct thread
 * Where the program takes %gs for itself, the last instruction becomes a system call, which is
 * dispatched as any other.
 */
#ifndef ASHLAR_KERNEL_STUBS_H
#define ASHLAR_KERNEL_STUBS_H

#include <stdbool.h>
#include <stdint.h>

#include "types.h"

enum {
    STUB_STRIPS = 3,
    STUB_PAGES = 32, /* of a strip */
    STUB_BYTES = 32,
    STUBS_IN_STRIP = STUB_PAGES * 4096 / STUB_BYTES,
    STUBS_MAX = STUB_STRIPS * STUBS_IN_STRIP,
};

/* Whether addresses [from, to) touch a strip. */
bool stubs_reserved(uint64_t from, uint64_t to);
/* A program that is linked to such addresses gets them, before it runs: they hold no stubs then. */
void stubs_give(uint64_t from, uint64_t to);
/* Which stub an address is in: 0 to STUBS_MAX - 1, or -1. */
int stub_at(uint64_t address);
uint64_t stub_address(int stub);

/* All below: mm.lock is held for writing. */

/*
 * Makes a stub that a jump ending at `from` reaches: it sets eax to nr where nr >= 0, and returns
 * to `to`. A negative number: none is free there, or the host refuses.
 */
int stub_make(uint64_t from, long nr, uint64_t to);
/* Gives one back whose site has gone: no thread can be in it. */
void stub_free(int stub);
/* From here on every stub makes a system call that is dispatched. */
void stubs_dispatch_all(void);

#endif
