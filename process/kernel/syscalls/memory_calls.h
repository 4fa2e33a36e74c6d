/* System calls about memory. */
#ifndef ASHLAR_KERNEL_MEMORY_CALLS_H
#define ASHLAR_KERNEL_MEMORY_CALLS_H

#include "syscalls.h"

/* memory.c */
syscall_fn sys_mmap, sys_munmap, sys_mprotect, sys_mremap, sys_brk, sys_remap_file_pages,
    sys_pkey_alloc, sys_pkey_free, sys_pkey_mprotect;
/* memory_advice.c */
syscall_fn sys_madvise, sys_process_madvise, sys_mincore, sys_msync, sys_mlock, sys_mlock2,
    sys_munlock, sys_mlockall, sys_munlockall;
/* Whether RLIMIT_MEMLOCK lets so many more lines be locked. */
bool lock_allowed(uint64_t more);

/* mmap of a descriptor that is the host's own. */
long mmap_host(struct thread *t, const uint64_t a[6]);
syscall_fn sys_shmget, sys_shmat, sys_shmdt, sys_shmctl;

#endif
