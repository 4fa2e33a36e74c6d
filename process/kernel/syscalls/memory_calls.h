/* System calls about memory: memory.c. */
#ifndef ASHLAR_KERNEL_MEMORY_CALLS_H
#define ASHLAR_KERNEL_MEMORY_CALLS_H

#include "syscalls.h"

/* mlock serves munlock and mlock2 too, mlockall munlockall. */
syscall_fn sys_mmap, sys_munmap, sys_mprotect, sys_mremap, sys_brk, sys_madvise, sys_mincore,
    sys_msync, sys_mlock, sys_mlockall;

#endif
