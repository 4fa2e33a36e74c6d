/*
 * Where a path of the program leads: to the sComponent, or to the pComponent's own files.
 *
 * /proc, /dev and /sys are the pComponent's: paths under them are served by the host. A path that
 * gets there by symbolic links is answered ASH_ELSEWHERE by the sComponent, and goes on from there
 * (location_settle). What /proc says about the calling process itself (exe, cwd, root, fd/N) is
 * answered from the program's point of view: such a path becomes the one that it stands for.
 */
#ifndef ASHLAR_KERNEL_LOCATION_H
#define ASHLAR_KERNEL_LOCATION_H

#include "../entry/thread.h"
#include "../rpc/rpc.h"
#include "descriptor.h"

enum locate_flags {
    LOCATE_NOFOLLOW = 1, /* a last symbolic link itself */
    LOCATE_EMPTY = 2,    /* AT_EMPTY_PATH: "" is dirfd itself */
};

struct location {
    bool local; /* the host's: path is for host calls */
    bool nofollow;
    bool as_written; /* a local path is not seen through */
    bool empty;      /* the path was "", or none: dirfd itself */
    uint8_t moves;   /* how often it moved between the two */
    int fd;          /* >= 0: the path stands for the file of this descriptor of the program */
    struct path_base base; /* what of the path is the name of a directory that is open */
    char path[PATH_LIMIT]; /* absolute, or relative to a base whose name does not fit */
};

/* From the program's arguments; dirfd is an int in its register. 0 or a negative errno. */
int locate(struct thread *t, uint64_t dirfd, uint64_t path, unsigned flags, struct location *l)
    __attribute__((warn_unused_result));
/*
 * An absolute path in l->path, of an openat2 that restricts the way: for the sComponent, and where
 * that gives it up, for the host as it is written, /proc/self included.
 */
void locate_as_written(struct location *l, unsigned flags, const struct path_base *base);
/* From an absolute path in l->path, to which `flags` apply. */
int locate_text(struct thread *t, unsigned flags, struct location *l)
    __attribute__((warn_unused_result));

/* What of the pComponent's own files is not shown as the host has it. */
enum local_kind {
    LOCAL_PLAIN,
    LOCAL_LINK, /* /proc/self/exe, cwd, root or fd/N: not followed */
};
/* The process whose /proc/PID/exe a path is; -1: it is none. */
int location_foreign_exe(const char *path);
enum local_kind location_kind(const struct thread *t, const struct location *l);

/*
 * Puts what a relative path is relative to before it, and says what that is. A name that has no
 * room there, or that has none anywhere, is left out: base->length is 0, and the path stays
 * relative. 0 or an errno.
 */
int location_put_base(struct files *f, int dirfd, char path[PATH_LIMIT], struct path_base *base)
    __attribute__((warn_unused_result));

/* What is known of its name; "": nothing. */
static inline const char *location_name(const struct location *l)
{
    return l->base.directory.inode && !l->base.length ? "" : l->path;
}

/*
 * After a request that named l->path: `rc` as a Linux error, or LOCATION_MOVED where the path leads
 * out of the volume: l says where to, and the call is to be tried there.
 */
enum { LOCATION_MOVED = 1 };
int location_settle(struct thread *t, struct location *l, const struct rpc *rpc, int rc)
    __attribute__((warn_unused_result));

/*
 * One request by path. `local` is the host's call in its place, an expression over l. Evaluates to
 * its result, to a negative errno, or to 0 where the sComponent did it; `done` is then run, before
 * the reply goes away.
 */
#define LOCATION_CALL(t_, l_, local_, OP, name, request_, reply_, done_)                           \
    ({                                                                                             \
        long result_;                                                                              \
        do {                                                                                       \
            if ((l_)->local) {                                                                     \
                result_ = (local_);                                                                \
                break;                                                                             \
            }                                                                                      \
            struct rpc rpc_;                                                                       \
            (request_)->base = (l_)->base;                                                         \
            int status_ = RPC_CALL(&rpc_, STORAGE, OP, name, (request_), (reply_));                \
            result_ = location_settle((t_), (l_), &rpc_, status_);                                 \
            if (result_ == 0) {                                                                    \
                done_;                                                                             \
            }                                                                                      \
            rpc_end(&rpc_);                                                                        \
        } while (result_ == LOCATION_MOVED);                                                       \
        result_;                                                                                   \
    })

#endif
