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

/*
 * Blocks of threads that have ended, for the next ones: threads that come and go are common, and a
 * block costs the host several calls and faults. Each entry is taken and put by one atomic step, so
 * a fork leaves the child nothing half done.
 */
static struct thread *spare[8];

static struct thread *spare_take(void)
{
    for (size_t i = 0; i < sizeof spare / sizeof *spare; i++) {
        struct thread *t = __atomic_exchange_n(&spare[i], NULL, __ATOMIC_ACQUIRE);
        if (t) {
            memset(t, 0, sizeof *t);
            return t;
        }
    }
    return NULL;
}

static bool spare_put(struct thread *t)
{
    for (size_t i = 0; i < sizeof spare / sizeof *spare; i++) {
        struct thread *none = NULL;
        if (__atomic_compare_exchange_n(&spare[i], &none, t, false, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED))
            return true;
    }
    return false;
}

void thread_populate(struct thread *t)
{
    enum { USED = 12 * 1024 }; /* of a stack, as a rule */
    uint8_t *block = (uint8_t *)t;
    host_populate(block, sizeof *t);
    host_populate(block + KERNEL_STACK_TOP - USED, USED);
    host_populate(block + THREAD_BLOCK - USED, USED);
}

struct thread *thread_new(struct process *process, struct mm *mm)
{
    struct thread *t = spare_take();
    if (!t)
        t = host_pages_aligned(THREAD_BLOCK);
    if (!t)
        return NULL;
    t->process = process;
    t->mm = mm;
    t->entry = fast_entry;
    t->self = t;
    t->altstack_flags = 2; /* SS_DISABLE */
    return t;
}

static void room_free(struct thread *t)
{
    if (t->room)
        host_free(t->room, t->room_size);
    t->room = NULL;
    t->room_size = 0;
}

void thread_free(struct thread *t)
{
    if (t->bounce)
        host_free(t->bounce, BOUNCE_SIZE);
    room_free(t);
    if (t->opened)
        host_free(t->opened, sizeof *t->opened);
    if (!spare_put(t))
        host_pages_free(t, THREAD_BLOCK);
}

uint8_t *thread_bounce(struct thread *t)
{
    if (!t->bounce)
        t->bounce = host_alloc(BOUNCE_SIZE);
    return t->bounce;
}

uint8_t *thread_room(struct thread *t, uint64_t size)
{
    if (size > t->room_size) {
        room_free(t);
        t->room = host_alloc(size);
        t->room_size = t->room ? size : 0;
    }
    return t->room;
}

void thread_room_end(struct thread *t)
{
    if (t->room_size > ROOM_KEPT)
        room_free(t);
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
