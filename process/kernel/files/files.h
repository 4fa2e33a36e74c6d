/*
 * The Linux state layer for files: descriptors, open file descriptions, the working directory.
 *
 * A descriptor of the program is a host descriptor of the same number. One whose file lives on an
 * sComponent is a *placeholder*: a host memfd whose file offset is the description's offset, and
 * whose first bytes say what it refers to (struct placeholder). So numbering, dup, close-on-exec,
 * inheritance over fork and exec, and passing over UNIX sockets are the host's own, and the
 * processes that share a description share its offset and flags. Everything else (pipes, sockets,
 * epoll, terminals, /dev, /proc, /sys) is a plain host descriptor.
 *
 * The descriptors of the monitor itself lie at or above FILES_FLOOR and are hidden: every call on
 * them answers EBADF.
 */
#ifndef ASHLAR_KERNEL_FILES_H
#define ASHLAR_KERNEL_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include "kept_locks.h"
#include "limits.h"
#include "messages.h"

struct files;
struct process;
struct thread;

/* A process's first files state; cwd is absolute. NULL: out of memory. */
struct files *files_new(const char *cwd, uint32_t umask);
/*
 * A copy for a fork or vfork child (same descriptors, own cwd, umask and caches), made in the
 * parent before the host forks. The parent of a fork frees it again: files_free() in the parent.
 */
struct files *files_copy(struct files *from);
void files_free(struct files *f);
/*
 * At the start of a program: what the process has inherited in descriptors, the working directory,
 * and the files that it executes, is what it holds from now on, and nothing else.
 */
void files_adopt(struct files *f, const struct held *program, const struct held *interpreter);
/* The same in a fork child, with the parent's copy. */
void files_fork_child(struct files *f, const struct held *program);
/* At exec, just before the host's. */
void files_exec(struct files *f, int pid);
/* The POSIX locks that a process has on a file. */
struct file_locks {
    struct file_id id;
    struct kept_locks kept;
};
/*
 * What the next image is to know: whether there may be open files of an sComponent, and POSIX locks
 * (see descriptor_note_lock()), and which: of up to `room` files, a count of all being returned.
 * files_after_exec() tells it, before files_adopt().
 */
bool files_any(const struct files *f);
bool files_posix_locks(const struct files *f);
uint32_t files_locks(struct files *f, struct file_locks *out, uint32_t room);
void files_after_exec(struct files *f, bool any, uint32_t below, bool posix_locks,
                      const struct file_locks *locks, uint64_t count);

/*
 * When a process ends of its own accord: lets go of everything before anyone can see that it ended.
 * (That ends with its connections in any case, a moment later.)
 */
void files_exit(struct files *f, int pid, bool vforked);

const char *files_cwd(const struct files *f);
/*
 * The working directory: its path, and what this process holds for it; all zero: nothing, it is the
 * pComponent's or not known. The one before is let go.
 */
void files_set_cwd(struct files *f, const char *path, const struct held *held);
struct held files_cwd_held(struct files *f);
/* At the start of a program whose working directory is known by its path alone. */
void files_find_cwd(struct files *f);
uint32_t files_umask(const struct files *f);

/* Whether fd is no number of the program's: hidden, or beyond all that it may have. */
bool files_hidden(int fd);
/* The same, and those opened with O_PATH, which most calls do not take. */
bool files_closed(struct files *f, int fd);
/*
 * The size that Linux's own table of descriptors would have, as select() tells: numbers beyond it,
 * which are not open, are not looked at. It is as large as the highest number that was open asks.
 */
uint32_t files_table(const struct files *f);
void files_table_grow(struct files *f, int fd);
/* The number below which all descriptors of an sComponent's files lie; 0: not known. */
uint32_t files_below(const struct files *f);
/* Whether fd can be no new descriptor of the program's: a hidden number, or beyond RLIMIT_NOFILE as
   the program has it, of this process. */
bool files_beyond(int fd);

/*
 * A new descriptor, which the host gave the lowest free number: what the program knows it by, which
 * is another number where that is a hidden one. -EMFILE: it was closed, beyond the limit.
 */
long files_number(long fd);

/*
 * For calls that make a host descriptor (socket, accept, epoll_create...): passes its result on, or
 * closes what lies among the hidden ones and returns -EMFILE. Descriptors that are received are
 * found out about on first use; only one that may be hidden needs this.
 */
long files_new_host(struct files *f, long fd);
/* A descriptor is being sent to another process: its description is shared from now on. */
void files_sent(struct files *f, int fd);

/*
 * For the loader: opens an absolute path of the vNode for execution. Fills what MAP_FILE needs.
 * Returns 0 or a negative errno (-EACCES: not a regular file or no execute permission; -ETXTBSY).
 */
struct vnode_file {
    struct file_attr attr;
    struct held held;      /* files_open_exec: what the process holds for it; all zero: nothing */
    bool host;             /* a file of the pComponent itself (under /proc, /dev, /sys) */
    bool read_write;       /* files_mappable: the descriptor is open for both */
    char path[PATH_LIMIT]; /* absolute, as opened */
};
/* The first bytes of a file, and its path without symbolic links ("" where that is not known). */
struct file_head {
    uint32_t size; /* 0: to be read */
    uint8_t bytes[LINE_SIZE];
    char real[PATH_LIMIT];
};
int files_open_exec(const char *path, struct vnode_file *out, struct file_head *head)
    __attribute__((warn_unused_result));
/* Lets go of what files_open_exec opened. */
void files_close_exec(struct vnode_file *file);
/* files_read_at, answered from its head where that has what is asked for. */
long files_read_head(const struct vnode_file *file, const struct file_head *head, uint64_t offset,
                     void *to, uint32_t size) __attribute__((warn_unused_result));
/* Reads at an offset; returns bytes (short at the end) or a negative errno. */
long files_read_at(const struct vnode_file *file, uint64_t offset, void *to, uint32_t size)
    __attribute__((warn_unused_result));
/* The canonical path (PATH_REAL) of an absolute path. */
int files_real_path(const char *path, char out[PATH_LIMIT]) __attribute__((warn_unused_result));

/*
 * For mmap: what file a descriptor refers to. Returns 0 and fills *out, -EBADF, -EACCES (not open
 * for reading), -ENODEV (not a regular file of an sComponent).
 */
int files_mappable(struct files *f, int fd, struct vnode_file *out)
    __attribute__((warn_unused_result));

/* The version of a file's content, for MAP_FILE: changes when it was written to. */
uint64_t file_version(const struct file_attr *attr);

/* An absolute vNode path from (dirfd, path of the program); handles AT_FDCWD and placeholders. */
int files_absolute(struct files *f, int dirfd, const char *path, char out[PATH_LIMIT])
    __attribute__((warn_unused_result));

#endif
