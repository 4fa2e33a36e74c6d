/*
 * The logs of mComponents: decoding and answers. Monitors' connections only: see dispatch() of
 * serve.c.
 */
#include "request.h"

int serve_log_write(struct request *r)
{
    TAKE(r, log_write);
    if (m.data_size > LOG_IO_MAX)
        return ASH_TOO_BIG;
    return logs_write(&r->storage->logs, m.owner, m.pid, m.offset, m.data, m.data_size);
}

int serve_log_read(struct request *r)
{
    TAKE(r, log_read);
    if (m.length > LOG_IO_MAX)
        return ASH_TOO_BIG;
    int64_t n =
        logs_read(&r->storage->logs, m.owner, m.pid, m.offset, r->session->buffer, m.length);
    if (n < 0)
        return (int)n;
    give_bulk(r, n);
    return GIVE(r, log_read, {.data = r->session->buffer, .data_size = (uint32_t)n});
}

int serve_log_discard(struct request *r)
{
    TAKE(r, log_discard);
    return logs_discard(&r->storage->logs, m.owner, m.pid, m.offset, m.length);
}
