/*
 * What a volume kind implements, and what the rest of the storage monitor knows of a volume.
 *
 * A volume serves paths and files. Paths are absolute in the vNode. Errors are negative errnos, or
 * ASH_ELSEWHERE where a path leads to the pComponent's own /proc, /sys or /dev: caller->elsewhere
 * then holds the path at which it left the volume. Whether the caller may change a place is decided
 * by the volume, on the place that was really reached, before anything is changed.
 *
 * Files are made by `open` and `reopen`, belong to whoever called, and are handed to the handle
 * table (handles.h), which counts references and closes them. All operations of a file may be
 * called from several threads at once.
 */
#ifndef ASHLAR_STORAGE_VOLUME_H
#define ASHLAR_STORAGE_VOLUME_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "errors.h"
#include "limits.h"
#include "messages.h"
#include "rights.h"

#define CHECKED __attribute__((warn_unused_result))

/* Who asks. Owned by one connection's thread. */
struct caller {
    struct rights rights;
    uint32_t resolve;           /* of an open: RESOLVE_*, about what follows the base; 0: none */
    bool execute;               /* of an open: its caller is to have the right to execute it */
    char elsewhere[PATH_LIMIT]; /* filled with every ASH_ELSEWHERE */
};

struct volume {
    const struct volume_ops *ops;
};

/*
 * A path as a request names it: what follows its first base_length bytes starts at the base, an
 * open file, whatever these bytes name today. It stays open for the length of the request.
 */
struct volume_path {
    const char *text;         /* absolute, but where nameless: what is relative to the base */
    struct volume_file *base; /* NULL: all of text is to be resolved */
    uint32_t base_length;
    int nameless; /* the base has no name any more (-ENOENT), or none that fits (-ENAMETOOLONG) */
};

struct volume_file {
    const struct file_ops *ops; /* never changes */
    struct file_id id;          /* never changes once it is in the handle table */

    /* Of the handle table: */
    struct volume_file *next; /* protected by its shard's lock */
    unsigned references;      /* protected by its shard's lock */
    unsigned writers;         /* holds that opened it for writing; protected by its shard's lock */
    unsigned executors;       /* holds of who executes it; the same */
    unsigned mappings;        /* holds for shared mappings, all of one pComponent; the same */
    struct component mapper;  /* which; the same */
    atomic_bool recent;       /* used since the sweep last came by; relaxed, a hint */
};

struct volume_opened {
    struct volume_file *file; /* NULL for a FIFO, a socket or a device: the client's own affair */
    struct file_attr attr;
    bool created;
    char path[PATH_LIMIT]; /* canonical; "": not known */
};

/* A change of attributes, as FILE_SETATTR has it. */
struct volume_setattr {
    uint32_t what; /* enum setattr_bits */
    uint32_t mode, uid, gid;
    int64_t atime_s, mtime_s;
    uint32_t atime_ns, mtime_ns;
};

/* One operation on extended attributes. */
struct volume_xattr {
    enum xattr_op op;
    const char *name;
    uint32_t flags;
    const void *value; /* to be set */
    void *to;          /* for what is read */
    size_t size;       /* of either; 0: the size is asked for */
};

/* What one connection watches. Used by that connection's thread alone. */
struct volume_watcher {
    const struct watcher_ops *ops; /* never changes, as fd */
    int fd;                        /* readable while there are events */
};

struct watcher_ops {
    /* As inotify_add_watch of what the file is: a number, or a negative errno. */
    int (*add)(struct volume_watcher *, struct volume_file *, uint32_t mask) CHECKED;
    int (*remove)(struct volume_watcher *, int wd) CHECKED;
    /* Whole struct inotify_event with their names; returns bytes, 0 where there are none. */
    int64_t (*read)(struct volume_watcher *, void *to, size_t size) CHECKED;
    void (*close)(struct volume_watcher *);
};

struct volume_ops {
    const char *kind; /* "dir" */
    /* Opens the volume that `source` names. */
    int (*start)(const char *source, struct volume **out) CHECKED;
    void (*stop)(struct volume *);
    int (*usage)(struct volume *, uint64_t *size_bytes, uint64_t *used_bytes) CHECKED;
    /* Paths of the host that begin so are not there. Before anything is asked of it. */
    void (*hide)(struct volume *, const char *host_path);

    /*
     * flags are Linux's O_*; what they ask for is checked before it has any effect. O_TRUNC opens
     * a file that is to be truncated: that is left to the caller.
     */
    int (*open)(struct volume *, struct caller *, const struct volume_path *path, uint32_t flags,
                uint32_t mode, struct volume_opened *out) CHECKED;
    /* The same without making or truncating; ASH_STALE_FILE where path names another file. */
    int (*reopen)(struct volume *, struct caller *, const char *path, uint32_t flags,
                  const struct file_id *id, struct volume_opened *out) CHECKED;

    int (*stat)(struct volume *, struct caller *, const struct volume_path *path, bool nofollow,
                struct file_attr *) CHECKED;
    int (*access)(struct volume *, struct caller *, const struct volume_path *path, uint32_t mode,
                  bool nofollow) CHECKED;
    /* out has PATH_LIMIT bytes, here and in real. */
    int (*readlink)(struct volume *, struct caller *, const struct volume_path *path,
                    char *out) CHECKED;
    int (*real)(struct volume *, struct caller *, const struct volume_path *path, char *out,
                struct file_attr *) CHECKED;
    int (*statfs)(struct volume *, struct caller *, const struct volume_path *path,
                  struct msg_file_statfs_reply *) CHECKED;
    int (*unlink)(struct volume *, struct caller *, const struct volume_path *path,
                  bool directory) CHECKED;
    int (*rename)(struct volume *, struct caller *, const struct volume_path *from,
                  const struct volume_path *to, uint32_t flags) CHECKED;
    /* file, where not NULL, is linked instead of what `from` names. */
    int (*link)(struct volume *, struct caller *, struct volume_file *file,
                const struct volume_path *from, const struct volume_path *to, bool follow) CHECKED;
    int (*symlink)(struct volume *, struct caller *, const char *target,
                   const struct volume_path *path) CHECKED;
    int (*make)(struct volume *, struct caller *, const struct volume_path *path,
                uint32_t mode) CHECKED;
    int (*setattr)(struct volume *, struct caller *, const struct volume_path *path,
                   const struct volume_setattr *) CHECKED;
    /* Returns bytes; here and in file_ops, where rights are the caller's to look at. */
    int64_t (*xattr)(struct volume *, struct caller *, const struct volume_path *path,
                     bool nofollow, const struct volume_xattr *) CHECKED;

    int (*watch)(struct volume *, struct volume_watcher **out) CHECKED;
};

struct file_ops {
    /* Takes over from `fresh`, the same file opened again, what this one has not; frees fresh. */
    void (*absorb)(struct volume_file *, struct volume_file *fresh);
    /* No one is left who opened it for writing: the host must not see it open for writing. */
    void (*rest)(struct volume_file *);
    /* Gives up descriptors that can be had again; returns how many. Never blocks. */
    unsigned (*relax)(struct volume_file *);
    void (*close)(struct volume_file *);

    /* Whether the file's place, now, is one that the caller may change. */
    bool (*writable)(struct volume_file *, const struct rights *);
    /* The file's name now, in PATH_LIMIT bytes; -ENOENT where it has none, -ENAMETOOLONG where it
       does not fit. */
    int (*path)(struct volume_file *, char *out) CHECKED;
    /* attr->writable is left to the caller. */
    int (*stat)(struct volume_file *, struct file_attr *) CHECKED;
    int (*statfs)(struct volume_file *, struct msg_file_statfs_reply *) CHECKED;
    /* Whether the calling thread may open it so (O_*): 0, or the host's own error. */
    int (*permits)(struct volume_file *, uint32_t flags) CHECKED;
    /* Opens what flags (O_*) want to do with it, where that is not open yet. */
    int (*want)(struct volume_file *, uint32_t flags) CHECKED;
    /* Returns bytes, fewer than size only at the end of the file. */
    int64_t (*read)(struct volume_file *, void *to, size_t size, uint64_t offset) CHECKED;
    /* Returns bytes; *end is the offset after the last one. */
    int64_t (*write)(struct volume_file *, const void *from, size_t size, uint64_t offset,
                     bool append, bool sync, uint64_t *end) CHECKED;
    int (*truncate)(struct volume_file *, uint64_t size_bytes) CHECKED;
    int (*allocate)(struct volume_file *, uint32_t mode, uint64_t offset, uint64_t length) CHECKED;
    int (*sync)(struct volume_file *, enum sync_kind) CHECKED;
    int (*setattr)(struct volume_file *, const struct volume_setattr *) CHECKED;
    int64_t (*xattr)(struct volume_file *, const struct volume_xattr *) CHECKED;
    int (*seek)(struct volume_file *, uint64_t offset, bool hole, uint64_t *out) CHECKED;
    /* Fills with struct linux_dirent64, from after the entry of that cookie; returns bytes. */
    int64_t (*list)(struct volume_file *, uint64_t cookie, void *to, size_t size) CHECKED;
};

extern const struct volume_ops dir_volume_ops;

#endif
