/*
 * A thread of the program, and the two stacks that the monitor runs on for it.
 *
 * Each thread has one block of THREAD_BLOCK bytes, aligned to its size, of monitor memory: this
 * structure at the bottom, then the kernel stack (system calls), then the host's alternate signal
 * stack (SIGSYS, faults, asynchronous signals). So the thread is found from the stack pointer
 * alone, and %fs stays the application's always: ashlar-exec uses no thread-local storage.
 */
#ifndef ASHLAR_KERNEL_THREAD_H
#define ASHLAR_KERNEL_THREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "types.h"

enum {
    THREAD_BLOCK = 64 * 1024,
    KERNEL_STACK_TOP = 32 * 1024, /* from the block's start; the alternate stack is above */
};

/* The application's registers while the monitor runs for it. entry.S knows the offsets. */
struct regs {
    uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
    uint64_t orig_rax; /* the call's number; -1 where the monitor was not entered by a call */
    uint64_t rip, rflags, rsp;
};

/* A host siginfo, by its bytes; signals/ knows the layout. */
struct siginfo_bytes {
    uint64_t words[16];
};

/* Lines that a thread goes through in order, upwards or downwards; see excache/fill.c. */
struct miss_stream {
    uint64_t above; /* the line after the last run that was filled for it */
    uint64_t below; /* the line before that run */
    uint32_t run;   /* length of that run */
    uint32_t used;  /* thread->stream_clock when it was last followed */
};
enum { MISS_STREAMS = 8 };

struct process;
struct mm;

struct thread {
    struct regs regs; /* owner thread only */
    /* 1 where a signal for the application waits in `queued`: set by this thread's own host signal
       handler, read by entry.S just before blocking and before returning to the application. */
    uint32_t pending;
    uint32_t alive;          /* host tid; the host clears it and wakes when the thread is gone */
    void (*entry)(void);     /* never changes; where stubs jump to, through %gs */
    struct thread *self;     /* never changes; for entry.S */
    struct process *process; /* never changes */
    struct mm *mm;           /* never changes */
    int tid;                 /* never changes; read by others */
    bool main;               /* the process's first thread */
    bool owns_gs;            /* %gs is what the application set; owner thread only */
    uint64_t identity;       /* whose rights it has at files (rpc/identity.h); owner thread only */

    /* Owner thread only: */
    uint64_t sigmask;       /* as the application set it; bit n-1 is signal n */
    uint64_t saved_sigmask; /* of sigsuspend, ppoll and kin: restored after the handler */
    bool restore_sigmask;   /* saved_sigmask is to be restored on the way out */
    struct siginfo_bytes queued;
    uint64_t altstack_base, altstack_size; /* the application's sigaltstack */
    uint32_t altstack_flags;
    uint64_t clear_child_tid; /* application address: zeroed and woken at the thread's end */
    uint64_t robust_list;     /* application address */
    uint32_t robust_place;    /* 1 + its place in the table of robust.c; 0: none */
    uint8_t *bounce;          /* BOUNCE_SIZE bytes, made on first use: thread_bounce() */
    uint8_t *room;            /* room_size bytes, or NULL: thread_room() */
    uint64_t room_size;
    uint32_t tid_state; /* whether its tid is where CLONE_PARENT_SETTID wants it; clone.c */
    uint32_t held;      /* by the thread that made it: not to be freed yet; release, acquire */
    uint64_t start_flags, start_parent_tid, start_child_tid; /* of the clone that made it */
    struct miss_stream streams[MISS_STREAMS];
    uint32_t stream_clock;
    uint32_t to_memory, to_storage; /* requests that it made so far; they wrap */
    uint64_t away_since_ns; /* first of the misses that the sComponent could not serve; 0: none */
    uint64_t unanswered;    /* the line that was missed, where the answer ended before it */

    struct opened *opened; /* what the last open brought along (files/opened.h), or NULL */

    struct thread *next; /* in process->threads, protected by process->threads_lock */
};

enum { BOUNCE_SIZE = 128 * 1024 };

/* The thread that runs now. Good on the kernel stack and on the alternate stack. */
static inline struct thread *current(void)
{
    uintptr_t sp = (uintptr_t)__builtin_frame_address(0);
    return (struct thread *)(sp & ~(uintptr_t)(THREAD_BLOCK - 1));
}

/* Resident monitor memory for what a host call reads or writes; NULL: out of memory. */
uint8_t *thread_bounce(struct thread *t);
/* More of it, at least `size` bytes, whose pages stay for the next call where they are not more
   than ROOM_KEPT; NULL: out of memory. */
enum { ROOM_KEPT = 4 * 1024 * 1024 };
uint8_t *thread_room(struct thread *t, uint64_t size);
void thread_room_end(struct thread *t);

/* A new block, its structure zeroed but for process and mm; NULL: out of memory. */
struct thread *thread_new(struct process *process, struct mm *mm);
/* Has its pages at once that every thread comes to touch: host_populate(). */
void thread_populate(struct thread *t);
/* Gives a block back that no host thread uses. */
void thread_free(struct thread *t);
/* Puts it on its process's list, or takes it off. */
void thread_link(struct thread *t);
void thread_unlink(struct thread *t);

/*
 * Arms the calling host thread: alternate stack, system call dispatch. To be called on the kernel
 * stack before any code of the application runs on it (neither is inherited by clone or exec).
 */
void thread_arm(struct thread *t);

/* Leaves the monitor: restores t->regs and goes on in the application. Does not return. */
void thread_return(struct thread *t) __attribute__((noreturn));

#endif
