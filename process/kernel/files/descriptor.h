/*
 * Descriptors: what each number refers to, looked up without a host call.
 *
 * The table is a cache: an entry says "host descriptor", "placeholder" with its open file
 * description, or nothing; then the descriptor is looked at once (placeholder_read). So descriptors
 * that come from elsewhere (inherited, received over a socket, made by a call that knows nothing of
 * this table) need no care. What must be told is only what takes a number away from a file: close,
 * dup onto it, exec. Each entry has a count of such changes, so that a look that was overtaken by
 * one is not written down.
 */
#ifndef ASHLAR_KERNEL_DESCRIPTOR_H
#define ASHLAR_KERNEL_DESCRIPTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "../host/lock.h"
#include "files.h"
#include "placeholder.h"
#include "pool.h"
#include "holds.h"

/* An open file description of an sComponent's file, as this process knows it: one hold. */
struct open_file {
    struct description_id description; /* never changes, as the next three */
    struct file_id id;
    uint32_t flags; /* see struct placeholder */
    uint32_t type;
    uint32_t path_length;   /* never changes */
    uint32_t users;         /* entries and calls that use it; protected by files->lock */
    bool shared;            /* other processes may have the description; only ever set */
    bool locked;            /* this process took locks for the description; only ever set */
    struct mutex offset;    /* held while the offset is read, used and set */
    struct open_file *next; /* in files->open; protected by files->lock */
};

enum entry_kind {
    ENTRY_UNKNOWN,
    ENTRY_CLOSING, /* its file is being taken away: what a look finds is not put down */
    ENTRY_HOST,
    ENTRY_HOST_LIST,  /* /proc/PID/fd or fdinfo, where hidden ones are not shown */
    ENTRY_HOST_PROC,  /* a host file whose content is made here: proc/ */
    ENTRY_HOST_WATCH, /* an inotify: watch.h */
    ENTRY_PLACEHOLDER,
};

struct entry {
    struct open_file *file; /* ENTRY_PLACEHOLDER */
    uint32_t changes;
    enum entry_kind kind;
};

/* A file that this process may have POSIX locks on. */
struct locked_file {
    struct locked_file *next;
    struct file_locks of;
};

enum { ENTRIES_PER_CHUNK = 256 };

struct files {
    struct mutex lock;
    uint32_t chunks_count; /* never changes */
    uint32_t umask;        /* relaxed atomic */
    uint32_t table;        /* see files_table(); relaxed atomic, only grows */
    char cwd[PATH_LIMIT];  /* protected by lock, as all that follows; as it was when entered */
    struct file_id cwd_id; /* of the working directory; all zero: it is the pComponent's, or lost */
    bool cwd_held;         /* this process holds it */
    bool watching;         /* it has had an inotify; only ever set; relaxed atomic */
    struct open_file *open;
    struct description_id cwd_description; /* of the hold of the working directory */
    struct pool open_pool, locked_pool;
    struct locked_file *locked;
    bool locked_before;     /* never changes: the program before an exec had POSIX locks */
    bool known;             /* all that it has of an sComponent is below `table`; set at a start */
    bool adopting;          /* never changes but in files_adopt(): what is found is held already */
    bool any;               /* ever had an open file of an sComponent; relaxed, only ever set */
    struct holds *holds;    /* the pointer never changes but in files_adopt() */
    size_t size;            /* of this structure with its chunk pointers; never changes */
    struct entry *chunks[]; /* made on first use */
};

static inline struct held held_of(const struct open_file *file)
{
    return (struct held){file->id, file->description};
}

/* A descriptor in use by a call: its description stays until descriptor_put(). */
struct descriptor {
    struct files *files;
    int fd;
    enum entry_kind kind;
    uint32_t changes;       /* of its entry, when it was looked up */
    struct open_file *file; /* NULL: a host descriptor, which may not even exist */
};

/* Returns 0 or -EBADF (hidden ones too), -ENOMEM. */
int descriptor_get(struct files *f, int fd, struct descriptor *d)
    __attribute__((warn_unused_result));
void descriptor_put(struct descriptor *d);
/* Whether the number still refers to the same description. */
bool descriptor_current(const struct descriptor *d);
/* The path that it was opened with. 0 or -EBADF. */
int descriptor_path(const struct descriptor *d, char out[PATH_LIMIT])
    __attribute__((warn_unused_result));

/* fd, filled with p and held by the process once, is a placeholder from now on. 0 or -ENOMEM. */
int descriptor_install(struct files *f, int fd, const struct placeholder *p)
    __attribute__((warn_unused_result));
/* Puts down that fd is a host descriptor of that kind. */
void descriptor_install_host(struct files *f, int fd, enum entry_kind kind);
/* fd is now a duplicate of d (dup2 onto fd: after descriptor_close_end()). */
void descriptor_install_copy(const struct descriptor *d, int fd);
/* One user less of an open file. */
void descriptor_drop(struct files *f, struct open_file *file);
/* fd was received from another process, or has come in another way: looked at and held. */
void descriptor_received(struct files *f, int fd);
/* Whatever fd was, it is no longer. */
void descriptor_forget(struct files *f, int fd);
/*
 * The same in two steps, around the host's call that takes the file away: as soon as that has, the
 * number may be another thread's new file, which the second step leaves alone. The first returns
 * what the second is to be given.
 */
uint32_t descriptor_close_begin(struct files *f, int fd);
void descriptor_close_end(struct files *f, int fd, uint32_t changes);

/*
 * POSIX locks end when any descriptor of their file is closed. Which files this process may have
 * them on is noted; after an exec, when that is no longer known, it may be any.
 */
bool descriptor_note_lock(struct files *f, const struct file_id *id);
bool descriptor_take_lock_note(struct files *f, const struct file_id *id);
bool descriptor_may_have_locks(const struct files *f);
/* A POSIX lock that the sComponent has given, changed or taken back; and what there is of a file:
   false where nothing is noted. */
void descriptor_lock_changed(struct files *f, const struct file_id *id, uint64_t first,
                             uint64_t last, uint8_t kind);
bool descriptor_kept_locks(struct files *f, const struct file_id *id, struct kept_locks *out);
/* Takes any one of the notes. */
bool descriptor_next_lock_note(struct files *f, struct file_id *id);
/* Copies up to `room` of the notes; returns how many there are. And puts one down. */
uint32_t descriptor_lock_notes(struct files *f, struct file_locks *out, uint32_t room);
void descriptor_put_lock_note(struct files *f, const struct file_locks *note);

#endif
