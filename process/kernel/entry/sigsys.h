/* The way in: Syscall User Dispatch and its signal. */
#ifndef ASHLAR_KERNEL_SIGSYS_H
#define ASHLAR_KERNEL_SIGSYS_H

#include <stdbool.h>
#include <stdint.h>

/* The host's handler for SIGSYS (SA_SIGINFO). */
void entry_sigsys(int signal, void *info, void *ucontext);
/* Turns dispatch on for the calling host thread: every call from outside our own text is caught. */
long sigsys_arm(void);
/* Whether an instruction pointer is in the monitor's own text. */
bool in_monitor(uint64_t rip);

#endif
