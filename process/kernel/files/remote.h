/*
 * Requests to the sComponent about an open file.
 *
 * An sComponent's monitor that was started again does not know the handles that it gave out:
 * ASH_STALE_FILE. Then the file is opened again by its path (FILE_REOPEN) and the request sent once
 * more; a file that its path no longer names is lost: -ESTALE. The flock and OFD locks that the description
 * had, and the POSIX locks that the process had on the file, are taken again with that, or the request
 * fails with -EIO for as long as somebody else has one of them.
 */
#ifndef ASHLAR_KERNEL_REMOTE_H
#define ASHLAR_KERNEL_REMOTE_H

#include "../rpc/rpc.h"
#include "descriptor.h"

/* After ASH_STALE_FILE: 0 where the request can be tried again. */
int remote_reopen(const struct descriptor *d) __attribute__((warn_unused_result));
int remote_reopen_path(const struct held *held, uint32_t flags, const char *path)
    __attribute__((warn_unused_result));

/*
 * As RPC_CALL to storage, for the open file of a descriptor, with Linux's errors. rpc_end(&rpc) is
 * the caller's, in every case.
 */
#define REMOTE_CALL(d_, rpc_, OP, name, request_, reply_)                                          \
    ({                                                                                             \
        int rc2_ = RPC_CALL((rpc_), STORAGE, OP, name, (request_), (reply_));                      \
        if (rc2_ == ASH_STALE_FILE) {                                                              \
            rpc_end(rpc_);                                                                         \
            *(rpc_) = (struct rpc){0};                                                             \
            rc2_ = remote_reopen(d_);                                                              \
            if (rc2_ == 0)                                                                         \
                rc2_ = RPC_CALL((rpc_), STORAGE, OP, name, (request_), (reply_));                  \
        }                                                                                          \
        (int)rpc_errno(rc2_);                                                                      \
    })

int remote_stat(const struct descriptor *d, struct file_attr *out)
    __attribute__((warn_unused_result));
/* Bytes that were written from monitor memory, at most FILE_IO_MAX; *end: the offset after them. */
long remote_write(const struct descriptor *d, uint64_t offset, bool append, bool sync,
                  const void *data, uint32_t size, uint64_t *end)
    __attribute__((warn_unused_result));
/* Reads into monitor memory; fewer than size only at the end of the file. */
long remote_read(const struct descriptor *d, uint64_t offset, void *to, uint32_t size)
    __attribute__((warn_unused_result));
int remote_sync(const struct descriptor *d, enum sync_kind kind)
    __attribute__((warn_unused_result));

/*
 * The offset of a description, for one call: no other thread or process changes it in between.
 * offset_begin() returns it or -EBADF, and then no offset_end() is due; offset_end(d, -1) leaves
 * it.
 */
int64_t offset_begin(struct descriptor *d);
void offset_end(struct descriptor *d, int64_t offset);

#endif
