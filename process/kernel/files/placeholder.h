/*
 * A placeholder: the host memfd that stands for an open file of an sComponent.
 *
 * The memfd's host description is the program's open file description: its offset, O_APPEND and
 * O_NONBLOCK are kept there by the host, shared by whoever shares the description, and its first
 * bytes (struct placeholder, then the path) say what it refers to. Its name on the
 * host is PLACEHOLDER_NAME and the path, so that /proc of any process tells what is open.
 */
#ifndef ASHLAR_KERNEL_PLACEHOLDER_H
#define ASHLAR_KERNEL_PLACEHOLDER_H

#include <stdbool.h>
#include <stdint.h>

#include "kept_locks.h"
#include "limits.h"
#include "messages.h"

#define PLACEHOLDER_NAME "ashlar:"
/* How /proc/PID/fd shows one: this, the path, and PLACEHOLDER_LINK_END. */
#define PLACEHOLDER_LINK     "/memfd:" PLACEHOLDER_NAME
#define PLACEHOLDER_LINK_END " (deleted)"

/* What the processes that share a description share of it beyond the host's: one write each. */
struct placeholder_state {
    uint8_t flock;  /* enum lock_kind: the flock that it has */
    uint8_t direct; /* O_DIRECT is set */
    uint16_t zero;
};

struct placeholder {
    uint64_t magic;
    struct description_id description;
    struct file_id file;
    uint32_t flags;       /* as opened: access mode, O_PATH, O_SYNC...; not those of F_SETFL */
    uint32_t type;        /* S_IFMT bits */
    uint32_t path_length; /* bytes of path that follow, no NUL */
    struct placeholder_state state; /* the one part of it that changes */
};

/* The flags that the host keeps for us, in the memfd's own description. */
#define PLACEHOLDER_HOST_FLAGS (O_APPEND | O_NONBLOCK)

/* Makes one. Returns its descriptor, the lowest that is free, or a negative errno. */
int placeholder_make(const char *path, bool cloexec) __attribute__((warn_unused_result));
/* Fills a made one, which then is what p says. Sets magic and path_length. */
int placeholder_fill(int fd, struct placeholder *p, const char *path, uint32_t host_flags)
    __attribute__((warn_unused_result));
/* 1 and *p where fd is one; 0 where it is any other descriptor; -EBADF where it is none. */
int placeholder_read(int fd, struct placeholder *p) __attribute__((warn_unused_result));
/* Reads `length` bytes of the path of a placeholder, without a NUL. 0 or -EBADF. */
int placeholder_path(int fd, char *out, uint32_t length) __attribute__((warn_unused_result));
/*
 * Puts down what flock the description has: where the sComponent's monitor is started again, who
 * comes first of those that share it takes it again.
 */
void placeholder_note_flock(int fd, uint8_t kind);
void placeholder_note_direct(int fd, bool direct);
struct placeholder_state placeholder_state(int fd);
/*
 * The OFD locks that the description has: one that was given, changed or taken back, and all of them;
 * false where it never had one. Who changes them excludes others that share the description.
 */
void placeholder_lock_changed(int fd, uint64_t first, uint64_t last, uint8_t kind);
bool placeholder_kept_locks(int fd, struct kept_locks *out);
/* O_APPEND and O_NONBLOCK as they are now. */
uint32_t placeholder_host_flags(int fd);

#endif
