/* See descriptor.h. */
#include "descriptor.h"

#include <linux/fcntl.h>

#include "../host/host.h"
#include "../proc/proc.h"
#include "../rpc/rpc.h"

static bool same_file(const struct file_id *a, const struct file_id *b)
{
    return a->inode == b->inode && a->device == b->device && a->generation == b->generation;
}

/* The entry of a number that is not hidden; NULL: out of memory. files->lock is held. */
static struct entry *entry_of(struct files *f, int fd)
{
    struct entry **chunk = &f->chunks[fd / ENTRIES_PER_CHUNK];
    if (!*chunk)
        *chunk = host_alloc(ENTRIES_PER_CHUNK * sizeof **chunk);
    return *chunk ? &(*chunk)[fd % ENTRIES_PER_CHUNK] : NULL;
}

/* files->lock is held. True where it was the last use: end(f, gone) is then due, without it. */
static bool drop(struct files *f, struct open_file *file, struct open_file *gone)
{
    if (--file->users)
        return false;
    struct open_file **at = &f->open;
    while (*at != file)
        at = &(*at)->next;
    *at = file->next;
    *gone = *file;
    pool_put(&f->open_pool, file);
    return true;
}

/*
 * A description that this process no longer has. Where others may have it, or it has locks, they
 * are to see at once that it has gone; and a file that was written can be executed now.
 */
static void end(struct files *f, const struct open_file *gone)
{
    const struct held held = held_of(gone);
    bool writes = !(gone->flags & O_PATH) && (gone->flags & O_ACCMODE) != O_RDONLY;
    holds_put(f->holds, &held, gone->shared || gone->locked || writes);
}

static void set(struct files *f, struct entry *e, enum entry_kind kind, struct open_file *file)
{
    if (kind == ENTRY_HOST_WATCH)
        __atomic_store_n(&f->watching, true, __ATOMIC_RELAXED);
    e->kind = kind;
    e->file = file;
    e->changes++;
}

/* The description that p stands for, with one more user; *fresh: it was not known here. */
static struct open_file *find_or_make(struct files *f, const struct placeholder *p, bool *fresh)
{
    *fresh = false;
    for (struct open_file *file = f->open; file; file = file->next) {
        if (same_description(&file->description, &p->description)) {
            file->users++;
            return file;
        }
    }
    struct open_file *file = pool_get(&f->open_pool, sizeof *file);
    if (!file)
        return NULL;
    *fresh = true;
    file->description = p->description;
    file->id = p->file;
    file->flags = p->flags;
    file->type = p->type;
    file->path_length = p->path_length;
    file->users = 1;
    file->next = f->open;
    f->open = file;
    f->any = true;
    return file;
}

/* Looks at a descriptor that nothing is known of, and puts down what it is. */
static int look(struct files *f, int fd, uint32_t changes, struct descriptor *d)
{
    struct placeholder p;
    bool fresh = false;
    int rc = placeholder_read(fd, &p);

    if (rc < 0)
        return rc;
    enum entry_kind host = rc == 0 ? proc_kind(fd) : ENTRY_HOST;
    files_table_grow(f, fd);
    mutex_lock(&f->lock);
    struct entry *e = entry_of(f, fd);
    bool current = e->changes == changes && e->kind == ENTRY_UNKNOWN;
    if (rc == 0) {
        d->kind = host;
        if (current)
            set(f, e, host, NULL);
        d->changes = e->changes;
    } else {
        d->kind = ENTRY_PLACEHOLDER;
        d->file = find_or_make(f, &p, &fresh);
        if (d->file && fresh)
            d->file->shared = true;
        if (d->file && current) {
            d->file->users++;
            set(f, e, ENTRY_PLACEHOLDER, d->file);
        }
        rc = d->file ? 0 : -ENOMEM;
    }
    mutex_unlock(&f->lock);
    const struct held held = {p.file, p.description};
    if (fresh && holds_take(f->holds, &held) && !f->adopting)
        holds_ask(&held);
    return rc;
}

int descriptor_get(struct files *f, int fd, struct descriptor *d)
{
    *d = (struct descriptor){.files = f, .fd = fd};
    if (fd < 0 || files_hidden(fd))
        return -EBADF;
    mutex_lock(&f->lock);
    struct entry *e = entry_of(f, fd);
    if (!e) {
        mutex_unlock(&f->lock);
        return -ENOMEM;
    }
    uint32_t changes = e->changes;
    d->kind = e->kind;
    d->changes = changes;
    if (e->kind == ENTRY_PLACEHOLDER) {
        d->file = e->file;
        d->file->users++;
    }
    mutex_unlock(&f->lock);
    return d->kind == ENTRY_UNKNOWN || d->kind == ENTRY_CLOSING ? look(f, fd, changes, d) : 0;
}

void descriptor_drop(struct files *f, struct open_file *file)
{
    struct open_file gone;

    mutex_lock(&f->lock);
    bool last = drop(f, file, &gone);
    mutex_unlock(&f->lock);
    if (last)
        end(f, &gone);
}

void descriptor_put(struct descriptor *d)
{
    if (d->file)
        descriptor_drop(d->files, d->file);
    d->file = NULL;
}

bool descriptor_current(const struct descriptor *d)
{
    mutex_lock(&d->files->lock);
    struct entry *e = entry_of(d->files, d->fd);
    bool current = e && e->kind == d->kind && e->file == d->file;
    mutex_unlock(&d->files->lock);
    return current;
}

int descriptor_path(const struct descriptor *d, char out[PATH_LIMIT])
{
    int rc = placeholder_path(d->fd, out, d->file->path_length);
    out[rc < 0 ? 0 : d->file->path_length] = 0;
    return rc;
}

void descriptor_received(struct files *f, int fd)
{
    struct descriptor d;
    if (descriptor_get(f, fd, &d) < 0)
        return;
    if (d.file) {
        const struct held held = held_of(d.file);
        d.file->shared = true;
        holds_ask(&held); /* also where it is held already: it is no longer on its way */
    }
    descriptor_put(&d);
}

int descriptor_install(struct files *f, int fd, const struct placeholder *p)
{
    bool fresh;

    files_table_grow(f, fd);
    descriptor_forget(f, fd); /* another thread may have looked at it already */
    mutex_lock(&f->lock);
    struct entry *e = entry_of(f, fd);
    struct open_file *file = e ? find_or_make(f, p, &fresh) : NULL;
    if (file)
        set(f, e, ENTRY_PLACEHOLDER, file);
    mutex_unlock(&f->lock);
    const struct held held = {p->file, p->description};
    if (file)
        (void)holds_take(f->holds, &held);
    return file ? 0 : -ENOMEM;
}

void descriptor_install_host(struct files *f, int fd, enum entry_kind kind)
{
    files_table_grow(f, fd);
    mutex_lock(&f->lock);
    struct entry *e = entry_of(f, fd);
    if (e)
        set(f, e, kind, NULL);
    mutex_unlock(&f->lock);
}

void descriptor_install_copy(const struct descriptor *d, int fd)
{
    files_table_grow(d->files, fd);
    mutex_lock(&d->files->lock);
    struct entry *e = entry_of(d->files, fd);
    if (e) {
        if (d->file)
            d->file->users++;
        set(d->files, e, d->kind, d->file);
    }
    mutex_unlock(&d->files->lock);
}

/* The entry's file has one user less. Returns the entry's changes. */
static uint32_t empty(struct files *f, int fd, enum entry_kind kind)
{
    struct open_file gone;
    uint32_t changes = 0;
    bool last = false;

    mutex_lock(&f->lock);
    struct entry *e = entry_of(f, fd);
    if (e) {
        struct open_file *file = e->file;
        set(f, e, kind, NULL);
        changes = e->changes;
        last = file && drop(f, file, &gone);
    }
    mutex_unlock(&f->lock);
    if (last)
        end(f, &gone);
    return changes;
}

void descriptor_forget(struct files *f, int fd)
{
    (void)empty(f, fd, ENTRY_UNKNOWN);
}

uint32_t descriptor_close_begin(struct files *f, int fd)
{
    return empty(f, fd, ENTRY_CLOSING);
}

void descriptor_close_end(struct files *f, int fd, uint32_t changes)
{
    mutex_lock(&f->lock);
    struct entry *e = entry_of(f, fd);
    if (e && e->kind == ENTRY_CLOSING && e->changes == changes)
        set(f, e, ENTRY_UNKNOWN, NULL);
    mutex_unlock(&f->lock);
}

/* files->lock is held. */
static struct locked_file *find_locked(struct files *f, const struct file_id *id)
{
    struct locked_file *l = f->locked;
    while (l && !same_file(&l->of.id, id))
        l = l->next;
    return l;
}

/* files->lock is held. NULL: out of memory. */
static struct locked_file *note_locked(struct files *f, const struct file_id *id)
{
    struct locked_file *l = find_locked(f, id);
    if (!l && (l = pool_get(&f->locked_pool, sizeof *l))) {
        l->of.id = *id;
        l->next = f->locked;
        f->locked = l;
    }
    return l;
}

bool descriptor_note_lock(struct files *f, const struct file_id *id)
{
    mutex_lock(&f->lock);
    bool noted = note_locked(f, id);
    mutex_unlock(&f->lock);
    return noted;
}

bool descriptor_take_lock_note(struct files *f, const struct file_id *id)
{
    bool found = f->locked_before;
    mutex_lock(&f->lock);
    for (struct locked_file **at = &f->locked; *at; at = &(*at)->next) {
        if (same_file(&(*at)->of.id, id)) {
            struct locked_file *l = *at;
            *at = l->next;
            pool_put(&f->locked_pool, l);
            found = true;
            break;
        }
    }
    mutex_unlock(&f->lock);
    return found;
}

void descriptor_lock_changed(struct files *f, const struct file_id *id, uint64_t first,
                             uint64_t last, uint8_t kind)
{
    mutex_lock(&f->lock);
    struct locked_file *l = find_locked(f, id);
    if (l)
        kept_locks_set(&l->of.kept, first, last, kind);
    mutex_unlock(&f->lock);
}

bool descriptor_kept_locks(struct files *f, const struct file_id *id, struct kept_locks *out)
{
    mutex_lock(&f->lock);
    struct locked_file *l = find_locked(f, id);
    if (l)
        *out = l->of.kept;
    mutex_unlock(&f->lock);
    return l;
}

bool descriptor_may_have_locks(const struct files *f)
{
    return f->locked || f->locked_before;
}

bool descriptor_next_lock_note(struct files *f, struct file_id *id)
{
    mutex_lock(&f->lock);
    struct locked_file *l = f->locked;
    if (l) {
        f->locked = l->next;
        *id = l->of.id;
        pool_put(&f->locked_pool, l);
    }
    mutex_unlock(&f->lock);
    return l != NULL;
}

uint32_t descriptor_lock_notes(struct files *f, struct file_locks *out, uint32_t room)
{
    uint32_t count = 0;
    mutex_lock(&f->lock);
    for (const struct locked_file *l = f->locked; l; l = l->next, count++)
        if (count < room)
            out[count] = l->of;
    mutex_unlock(&f->lock);
    return count;
}

void descriptor_put_lock_note(struct files *f, const struct file_locks *note)
{
    mutex_lock(&f->lock);
    struct locked_file *l = note_locked(f, &note->id);
    if (l)
        l->of = *note;
    mutex_unlock(&f->lock);
}
