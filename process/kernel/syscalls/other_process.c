/*
 * Calls by which one process looks into another. A process may read and write itself; of every
 * other, what the host could show is the monitor's memory and what happens to be resident, so the
 * answer is that of a system whose policy forbids it (EPERM), after the errors that come first.
 */
#include <linux/kcmp.h>

#include "host_calls.h"

#include "../files/files.h"

enum { PTRACE_TRACEME = 0, PTRACE_ATTACH = 16, PTRACE_SEIZE = 0x4206, PIECES_MOST = 1024 };

static bool exists(int pid)
{
    return pid > 0 && host_call(__NR_kill, pid, 0) != -ESRCH;
}

long sys_ptrace(struct thread *t, const uint64_t a[6])
{
    bool begins = a[0] == PTRACE_TRACEME || a[0] == PTRACE_ATTACH || a[0] == PTRACE_SEIZE;
    (void)t;
    if (a[0] != PTRACE_TRACEME && !exists((int)a[1]))
        return -ESRCH;
    return begins ? -EPERM : -ESRCH; /* nothing is ever traced */
}

struct piece {
    uint64_t at, size;
};

/* The next piece of a vector that is not empty; false: its end, or a fault (*fault). */
static bool next_piece(uint64_t *vector, uint64_t *left, struct piece *p, bool *fault)
{
    while (p->size == 0 && *left) {
        if (user_read(p, *vector, sizeof *p) < 0) {
            *fault = true;
            return false;
        }
        *vector += sizeof *p;
        --*left;
    }
    return p->size != 0;
}

/* Copies between two vectors of this process as far as it goes. */
static long copy_pieces(struct thread *t, uint64_t to_vector, uint64_t to_count,
                        uint64_t from_vector, uint64_t from_count)
{
    uint8_t *bounce = thread_bounce(t);
    struct piece to = {0, 0}, from = {0, 0};
    bool fault = false;
    long done = 0;

    if (!bounce)
        return -ENOMEM;
    while (next_piece(&to_vector, &to_count, &to, &fault) &&
           next_piece(&from_vector, &from_count, &from, &fault)) {
        size_t n = to.size < from.size ? to.size : from.size;
        n = n < BOUNCE_SIZE ? n : BOUNCE_SIZE;
        size_t got = user_read_some(bounce, from.at, n);
        size_t put = user_write_some(to.at, bounce, got);
        done += (long)put;
        if (put < n) {
            fault = true;
            break;
        }
        to.at += n, to.size -= n;
        from.at += n, from.size -= n;
    }
    return fault && done == 0 ? -EFAULT : done;
}

/* Whether every entry of a vector can be read. */
static long check_vector(uint64_t vector, uint64_t count)
{
    struct piece p;
    if (count > PIECES_MOST)
        return -EINVAL;
    for (uint64_t i = 0; i < count; i++) {
        if (user_read(&p, vector + i * sizeof p, sizeof p) < 0)
            return -EFAULT;
        if ((int64_t)p.size < 0)
            return -EINVAL;
    }
    return 0;
}

static long process_vm(struct thread *t, const uint64_t a[6], bool write)
{
    int pid = (int)a[0];
    if (a[5])
        return -EINVAL;
    long rc = check_vector(a[1], a[2]);
    if (rc == 0)
        rc = check_vector(a[3], a[4]);
    if (rc < 0)
        return rc;
    if (!a[2] || !a[4])
        return 0;
    if (pid != t->process->pid && pid != t->tid)
        return exists(pid) ? -EPERM : -ESRCH;
    return write ? copy_pieces(t, a[3], a[4], a[1], a[2]) : copy_pieces(t, a[1], a[2], a[3], a[4]);
}

long sys_process_vm_readv(struct thread *t, const uint64_t a[6])
{
    return process_vm(t, a, false);
}

long sys_process_vm_writev(struct thread *t, const uint64_t a[6])
{
    return process_vm(t, a, true);
}

/* A descriptor of another process may be a placeholder, or the monitor's own. */
long sys_pidfd_getfd(struct thread *t, const uint64_t a[6])
{
    if (a[2])
        return -EINVAL;
    if (files_hidden((int)a[0]) ||
        host_call(__NR_pidfd_send_signal, (int)a[0], 0, NULL, 0) == -EBADF)
        return -EBADF;
    return -EPERM;
}

/*
 * kcmp: what the program's processes share, the host's share too: a placeholder is a description of
 * its own, and memory, tables and handlers are shared by the host wherever they are here. The
 * monitor's own descriptors are nobody's; they have the same numbers in every process of a run.
 */
long sys_kcmp(struct thread *t, const uint64_t a[6])
{
    struct kcmp_epoll_slot slot;
    uint64_t second = a[4];
    int second_fd = (int)a[4];

    if (a[2] == KCMP_EPOLL_TFD) {
        second = user_read(&slot, a[4], sizeof slot) < 0 ? 0 : (uint64_t)&slot;
        second_fd = second ? (int)slot.efd : -1;
    }
    if ((a[2] == KCMP_FILE || a[2] == KCMP_EPOLL_TFD) &&
        (files_hidden((int)a[3]) || files_hidden(second_fd)))
        return exists((int)a[0]) && exists((int)a[1]) ? -EBADF : -ESRCH;
    return host_call(__NR_kcmp, a[0], a[1], a[2], a[3], second);
}
