/*
 * The dir volume: an existing directory of the host. What its files share among themselves.
 *
 * Every step is taken relative to a descriptor that is held, so nothing that is renamed or swapped
 * for a symbolic link meanwhile can lead out of the root or out of what may be changed:
 * a path is resolved once, by openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS) from the root, or
 * from an open file that it is relative to, into an O_PATH descriptor (a place); the place says
 * where it really is (/proc/self/fd, read back); what follows is done to that descriptor, or to one
 * last name in it, without following.
 */
#ifndef ASHLAR_STORAGE_DIR_VOLUME_H
#define ASHLAR_STORAGE_DIR_VOLUME_H

#include <pthread.h>
#include <sys/stat.h>

#include "volume.h"

struct dir_volume {
    struct volume volume;
    int root;                /* O_PATH; never changes */
    char hidden[PATH_LIMIT]; /* what begins so is not there; "": all is */
    bool is_host_root; /* the root is the host's own "/": real paths need no prefix taken off */
};

/* ---- places: dir_resolve.c ---- */

struct place {
    int fd; /* O_PATH; a symbolic link itself with PLACE_NOFOLLOW */
    struct statx stat;
    bool writable;         /* the caller may change it */
    char path[PATH_LIMIT]; /* in the volume, canonical; "" where it has none any more */
};

enum place_flags {
    PLACE_NOFOLLOW = 1,
    PLACE_DIRECTORY = 2,
};

/* A last name in a directory. */
struct place_name {
    struct place directory;
    char name[NAME_MAX +
              2]; /* with one '/' behind it where the path ended in one; "" for the root */
};

/* Resolves a path. On success the place is to be closed with place_close(). */
int place_resolve(struct dir_volume *v, struct caller *who, const struct volume_path *path,
                  unsigned flags, struct place *out) CHECKED;
/* Resolves all but the last component, which is not looked at. */
int place_resolve_name(struct dir_volume *v, struct caller *who, const struct volume_path *path,
                       struct place_name *out) CHECKED;
/* What is there under that name, without following. */
int place_look(struct dir_volume *v, struct caller *who, const struct place_name *name,
               struct place *out) CHECKED;
/* Reads a symbolic link's target into PATH_LIMIT bytes. */
int place_readlink(const struct place *place, char *out) CHECKED;
void place_close(struct place *place);

/* A path of the host as it is in the volume, in its place; -ENOENT where it is outside. */
int dir_path_inside(const struct dir_volume *v, char *path) CHECKED;
/* Where a descriptor is now, in the volume: PATH_LIMIT bytes; -ENOENT where it is outside. */
int dir_real_path(const struct dir_volume *v, int fd, char *out) CHECKED;
/* What the host puts behind the path of what has no name any more. */
#define DIR_DELETED " (deleted)"
/* Where it is, or was last: the same without that. */
int dir_last_path(const struct dir_volume *v, int fd, const struct statx *stat, char *out) CHECKED;
int dir_statx(int fd, struct statx *out) CHECKED;
void dir_attr(const struct statx *from, struct file_attr *to);

/* A path by which the host opens again what an O_PATH descriptor refers to. */
struct dir_fd_path {
    char text[32];
};
struct dir_fd_path dir_fd_path(int fd);

/* ---- files: dir_file.c ---- */

enum dir_fd {
    DIR_FD_PLACE, /* O_PATH; always open */
    DIR_FD_READ,
    DIR_FD_WRITE,
    DIR_FDS,
};

struct dir_file {
    struct volume_file file;
    const struct dir_volume *volume; /* never changes */
    uint32_t type;                   /* S_IF*; never changes */
    pthread_mutex_t lock;            /* protects what follows */
    int fds[DIR_FDS];                /* -1: not open. The place's number never changes */
    unsigned users[DIR_FDS];         /* operations that use the descriptor just now */
    uint64_t position;               /* of the read descriptor of a directory */
};

/*
 * A file around a place, whose descriptor it takes over (place->fd is -1 afterwards), and for which
 * the caller has taken one out of the budget. 0 or -ENOMEM.
 */
int dir_file_new(const struct dir_volume *v, struct place *place, struct dir_file **out) CHECKED;
/* Opens the read or the write descriptor, where it is not. The host's own errors. */
int dir_file_need(struct dir_file *file, enum dir_fd which) CHECKED;
/* Hands the file a descriptor that is open already, out of the budget. */
void dir_file_give(struct dir_file *file, enum dir_fd which, int fd);
void dir_file_close(struct volume_file *file);
extern const struct file_ops dir_file_ops;

/* Applies a change to whatever an O_PATH descriptor refers to. */
int dir_setattr_fd(int fd, const struct volume_setattr *change) CHECKED;

/* ---- opening: dir_open.c, changing names: dir_names.c, the rest: dir_paths.c ---- */

int dir_open(struct volume *volume, struct caller *who, const struct volume_path *path,
             uint32_t flags, uint32_t mode, struct volume_opened *out) CHECKED;
int dir_reopen(struct volume *volume, struct caller *who, const char *path, uint32_t flags,
               const struct file_id *id, struct volume_opened *out) CHECKED;

int dir_unlink(struct volume *volume, struct caller *who, const struct volume_path *path,
               bool directory) CHECKED;
int dir_rename(struct volume *volume, struct caller *who, const struct volume_path *from,
               const struct volume_path *to, uint32_t flags) CHECKED;
int dir_link(struct volume *volume, struct caller *who, struct volume_file *file,
             const struct volume_path *from, const struct volume_path *to, bool follow) CHECKED;
int dir_symlink(struct volume *volume, struct caller *who, const char *target,
                const struct volume_path *path) CHECKED;
int dir_make(struct volume *volume, struct caller *who, const struct volume_path *path,
             uint32_t mode) CHECKED;

int dir_stat(struct volume *volume, struct caller *who, const struct volume_path *path,
             bool nofollow, struct file_attr *attr) CHECKED;
int dir_access(struct volume *volume, struct caller *who, const struct volume_path *path,
               uint32_t mode, bool nofollow) CHECKED;
int dir_readlink(struct volume *volume, struct caller *who, const struct volume_path *path,
                 char *out) CHECKED;
int dir_real(struct volume *volume, struct caller *who, const struct volume_path *path, char *out,
             struct file_attr *attr) CHECKED;
int dir_statfs(struct volume *volume, struct caller *who, const struct volume_path *path,
               struct msg_file_statfs_reply *out) CHECKED;
/* Of the file system that fd is on. */
int dir_statfs_fd(int fd, struct msg_file_statfs_reply *out) CHECKED;
int dir_setattr(struct volume *volume, struct caller *who, const struct volume_path *path,
                const struct volume_setattr *change) CHECKED;

int64_t dir_xattr(struct volume *volume, struct caller *who, const struct volume_path *path,
                  bool nofollow, const struct volume_xattr *x) CHECKED;
/* Of whatever an O_PATH descriptor refers to. */
int64_t dir_xattr_fd(int fd, const struct volume_xattr *x) CHECKED;

/* ---- watching: dir_watch.c ---- */

int dir_watch(struct volume *volume, struct volume_watcher **out) CHECKED;

static inline struct dir_volume *dir_volume(struct volume *volume)
{
    return (struct dir_volume *)volume;
}

#endif
