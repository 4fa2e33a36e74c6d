/* Handlers of the calls that the host serves, where a described row (describe.h) does not do. */
#ifndef ASHLAR_KERNEL_HOST_CALLS_H
#define ASHLAR_KERNEL_HOST_CALLS_H

#include "syscalls.h"

/* host_time.c */
syscall_fn sys_nanosleep, sys_clock_nanosleep, sys_adjtimex, sys_clock_adjtime;
/* host_limits.c */
syscall_fn sys_getrlimit, sys_setrlimit, sys_prlimit64, sys_getrusage;
/* Of a program's start: before files are, and when they are. */
void limits_begin(struct process *p, const struct boot *b);
/*
 * Where a program was started with more descriptors than the monitor can leave to it, it is told how
 * many these are: some take the highest number at once.
 */
void limits_fit(struct process *p, int floor);
/* Two descriptors that the host has just made become the program's, and it is told their numbers at
   `out`; or neither. */
long new_pair(struct thread *t, int pair[2], uint64_t out);
/* RLIMIT_NOFILE as the program sees it. */
uint64_t limit_descriptors(struct thread *t);
/*
 * How many of `size` bytes at `offset` RLIMIT_FSIZE lets a file have; where it is none of several,
 * SIGXFSZ is under way and the call's answer is EFBIG.
 */
uint64_t limit_file_size(struct thread *t, uint64_t offset, uint64_t size);
/* Whether there is such a limit at all. */
bool limit_file_size_set(struct thread *t);
/* proc/machine.c */
syscall_fn sys_sysinfo;
/* host_process.c */
syscall_fn sys_getpid, sys_gettid, sys_prctl, sys_arch_prctl, sys_capget, sys_capset,
    sys_personality, sys_set_robust_list, sys_get_robust_list, sys_not_permitted, sys_sched_setattr,
    sys_getrandom;
/* other_process.c */
syscall_fn sys_ptrace, sys_process_vm_readv, sys_process_vm_writev, sys_pidfd_getfd, sys_kcmp;
/* host_poll.c */
syscall_fn sys_poll, sys_ppoll, sys_select, sys_pselect6, sys_epoll_wait, sys_epoll_pwait,
    sys_epoll_pwait2;
/* host_socket.c */
syscall_fn sys_socketpair, sys_bind, sys_connect, sys_accept, sys_accept4, sys_getsockname,
    sys_getpeername, sys_setsockopt, sys_getsockopt;
/* host_ipc.c */
syscall_fn sys_semop, sys_semtimedop, sys_semctl, sys_msgsnd, sys_msgrcv, sys_msgctl, sys_mq_open,
    sys_mq_unlink, sys_mq_timedsend, sys_mq_timedreceive, sys_mq_notify;
/* host_message.c */
syscall_fn sys_sendto, sys_recvfrom, sys_sendmsg, sys_recvmsg, sys_sendmmsg, sys_recvmmsg;

#endif
