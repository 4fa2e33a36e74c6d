/* System calls about threads and processes: clone.c, exec.c, wait.c. */
#ifndef ASHLAR_KERNEL_THREAD_CALLS_H
#define ASHLAR_KERNEL_THREAD_CALLS_H

#include "../syscalls/syscalls.h"

syscall_fn sys_clone, sys_fork, sys_vfork, sys_exit, sys_exit_group, sys_execve, sys_execveat,
    sys_unshare, sys_setns, sys_wait4, sys_waitid, sys_futex, sys_futex_waitv, sys_set_tid_address;

/* Frees the blocks of threads that the host has let go. */
void threads_reap(struct process *p);
/* Frees what a vfork child's execve left in the memory that it shared. */
void exec_leftovers_free(struct process *p);

#endif
