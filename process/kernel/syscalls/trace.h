/* `ashlar run --trace`: calls as they come and go, and those that are not served, once each. */
#ifndef ASHLAR_KERNEL_TRACE_H
#define ASHLAR_KERNEL_TRACE_H

#include "syscalls.h"

void trace_call(struct thread *t, uint64_t nr, const uint64_t a[6]);
void trace_result(struct thread *t, uint64_t nr, long result);
void trace_unserved(struct thread *t, uint64_t nr);

#endif
