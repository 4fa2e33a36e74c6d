/* Described host calls; see describe.h. */
#include "describe.h"

#include "../files/files.h"
#include "../rpc/identity.h"

/* Bytes that argument i points to, or -E2BIG beyond what the bounce memory could hold. Counts have
   32 bits, in all rows that have one. */
static long arg_bytes(const struct syscall_row *row, const uint64_t a[6], int i)
{
    uint32_t size = row->size[i];
    switch (row->arg[i]) {
    case ARG_IN:
    case ARG_OUT:
        return size;
    case ARG_IN_COUNT:
    case ARG_OUT_COUNT:
    case ARG_OUT_RESULT: {
        uint64_t count = (uint32_t)a[size >> 12];
        return count > BOUNCE_SIZE ? -E2BIG : (long)(count * (size & 0xfff));
    }
    default:
        return 0;
    }
}

static bool is_in(int kind)
{
    return kind == ARG_IN || kind == ARG_IN_COUNT;
}

/*
 * Lays out the bounce memory and copies in. host[] gets the arguments for the host.
 */
static long copy_in(struct thread *t, const struct syscall_row *row, const uint64_t a[6],
                    uint64_t host[6])
{
    uint8_t *at = NULL, *end = NULL;
    for (int i = 0; i < 6; i++)
        host[i] = a[i];
    for (int i = 0; i < 6; i++) {
        int kind = row->arg[i];
        if (kind == ARG_VALUE)
            continue;
        if (kind == ARG_FD) {
            if (files_closed(t->process->files, (int)a[i]))
                return -EBADF;
            continue;
        }
        if (!a[i])
            continue;
        if (!at) {
            at = thread_bounce(t);
            if (!at)
                return -ENOMEM;
            end = at + BOUNCE_SIZE;
        }
        long bytes = arg_bytes(row, a, i);
        if (bytes < 0 || bytes > end - at) {
            /* What the call fills is cut, for it may return less. Elements are counted by an int.
             */
            uint32_t counter = row->size[i] >> 12, element = row->size[i] & 0xfff;
            if (kind != ARG_OUT_RESULT || (element > 1 && (int)a[counter] < 0))
                return -EINVAL;
            host[counter] = (uint64_t)(end - at) / element;
            bytes = (long)(host[counter] * element);
        }
        long rc = 0;
        if (is_in(kind))
            rc = user_read(at, a[i], (size_t)bytes);
        if (rc < 0)
            return rc;
        host[i] = (uint64_t)at;
        at += (bytes + 15) & ~15l;
    }
    return 0;
}

static long copy_out(const struct syscall_row *row, const uint64_t a[6], const uint64_t host[6],
                     long result)
{
    for (int i = 0; i < 6; i++) {
        int kind = row->arg[i];
        long bytes;
        if (!a[i])
            continue;
        if (kind == ARG_OUT)
            bytes = row->size[i];
        else if (kind == ARG_OUT_COUNT)
            bytes = arg_bytes(row, a, i);
        else if (kind == ARG_OUT_RESULT && host[row->size[i] >> 12])
            bytes = result * (row->size[i] & 0xfff);
        else
            continue;
        if (user_write(a[i], (const void *)host[i], (size_t)bytes) < 0)
            return -EFAULT;
    }
    return result;
}

static const struct syscall_row *row_of(const struct thread *t)
{
    return &syscall_table[t->regs.orig_rax];
}

long host_row(struct thread *t, const uint64_t a[6])
{
    const struct syscall_row *row = row_of(t);
    uint64_t host[6];
    long result = copy_in(t, row, a, host);
    if (result < 0)
        return result;
    result = host_call(t->regs.orig_rax, host[0], host[1], host[2], host[3], host[4], host[5]);
    return result < 0 ? result : copy_out(row, a, host, result);
}

long host_row_ids(struct thread *t, const uint64_t a[6])
{
    long result = host_row(t, a);
    if (result >= 0)
        t->identity = identity_now(t->process);
    return result;
}

long host_row_fd(struct thread *t, const uint64_t a[6])
{
    return files_new_host(t->process->files, host_row(t, a));
}
