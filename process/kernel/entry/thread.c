/* Thread blocks: made, armed, freed; see thread.h. */
#include <linux/mman.h>
#include <linux/prctl.h>

#include "../files/opened.h"
#include "../host/host.h"
#include "../host/lock.h"
#include "process.h"
#include "rewrite.h"
#include "sigsys.h"
#include "thread.h"

void fast_entry(void); /* entry.S */

struct host_stack {
    void *base;
    int flags;
    size_t size;
};

struct thread *thread_new(struct process *process, struct mm *mm)
{
    /* Twice the size, to find an aligned block within; what is over is given back. */
    uintptr_t raw = (uintptr_t)host_alloc(2 * THREAD_BLOCK);
    if (!raw)
        return NULL;
    uintptr_t block = (raw + THREAD_BLOCK - 1) & ~(uintptr_t)(THREAD_BLOCK - 1);
    if (block != raw)
        host_free((void *)raw, block - raw);
    if (block + THREAD_BLOCK != raw + 2 * THREAD_BLOCK)
        host_free((void *)(block + THREAD_BLOCK), raw + THREAD_BLOCK - block);
    struct thread *t = (struct thread *)block;
    t->process = process;
    t->mm = mm;
    t->entry = fast_entry;
    t->self = t;
    t->altstack_flags = 2; /* SS_DISABLE */
    return t;
}

void thread_free(struct thread *t)
{
    if (t->bounce)
        host_free(t->bounce, BOUNCE_SIZE);
    if (t->opened)
        host_free(t->opened, sizeof *t->opened);
    host_free(t, THREAD_BLOCK);
}

uint8_t *thread_bounce(struct thread *t)
{
    if (!t->bounce)
        t->bounce = host_alloc(BOUNCE_SIZE);
    return t->bounce;
}

void thread_link(struct thread *t)
{
    struct process *p = t->process;
    mutex_lock(&p->threads_lock);
    t->next = p->threads;
    p->threads = t;
    p->thread_count++;
    mutex_unlock(&p->threads_lock);
}

void thread_unlink(struct thread *t)
{
    struct process *p = t->process;
    mutex_lock(&p->threads_lock);
    for (struct thread **at = &p->threads; *at; at = &(*at)->next) {
        if (*at == t) {
            *at = t->next;
            p->thread_count--;
            break;
        }
    }
    mutex_unlock(&p->threads_lock);
}

void thread_arm(struct thread *t)
{
    struct host_stack stack = {.base = (uint8_t *)t + KERNEL_STACK_TOP,
                               .size = THREAD_BLOCK - KERNEL_STACK_TOP};
    long rc = host_call(__NR_sigaltstack, &stack, NULL);
    if (rc == 0)
        rc = sigsys_arm();
    if (rc < 0)
        host_die("this kernel cannot catch system calls (Syscall User Dispatch, error %ld)", -rc);
    rewrite_arm(t);
}
