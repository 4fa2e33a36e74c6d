/*
 * See changes.h. Messages: one to hold a file, where no other mapping of it is known.
 */
#include "changes.h"

#include <errno.h>
#include <string.h>

#include "clock.h"

/* The path of a file, or NULL where it does not end within the request. */
static const char *path_of(const struct changes *c, const struct mapped_file *file)
{
    if (file->path >= c->paths_size)
        return NULL;
    const char *path = (const char *)c->paths + file->path;
    return memchr(path, 0, c->paths_size - file->path) && strlen(path) < PATH_LIMIT ? path : NULL;
}

int changes_check(const struct changes *c)
{
    if (c->ops_count > OPS_MAX || c->files_count > OPS_FILES_MAX)
        return ASH_TOO_BIG;
    for (uint32_t i = 0; i < c->ops_count; i++)
        if (c->ops[i].kind == VM_OP_MAP_FILE && c->ops[i].file >= c->files_count)
            return ASH_MALFORMED;
    for (uint32_t i = 0; i < c->files_count; i++)
        if (!path_of(c, &c->files[i]))
            return ASH_MALFORMED;
    return 0;
}

static int apply(struct space *space, const struct changes *c, const struct vm_op *op,
                 struct file *const *files)
{
    if (op->kind != VM_OP_MAP_FILE)
        return space_apply(space, op);
    uint64_t bytes = c->files[op->file].size_bytes;
    return space_map_file(space, op->first, op->count, op->prot, files[op->file], op->to.n,
                          bytes / LINE_SIZE + (bytes % LINE_SIZE ? 1 : 0));
}

static int apply_list(struct space *space, const struct changes *c, struct file *const *files)
{
    int rc = 0;
    pthread_mutex_lock(&space->ops_lock);
    if (!space_has_applied(space, c->serial)) {
        for (uint32_t i = 0; rc == 0 && i < c->ops_count; i++)
            rc = apply(space, c, &c->ops[i], files);
        if (rc == 0)
            space_applied(space, c->serial);
    }
    pthread_mutex_unlock(&space->ops_lock);
    return rc;
}

int changes_hold_files(struct memory *memory, const struct changes *changes, struct file **files)
{
    uint64_t deadline_ms = clock_ms() + HOLD_TIMEOUT_MS;
    uint32_t held = 0;
    int rc = changes_check(changes);
    for (; rc == 0 && held < changes->files_count; held += rc == 0) {
        const struct mapped_file *file = &changes->files[held];
        rc = files_get(&memory->files, file->id, file->version, path_of(changes, file), deadline_ms,
                       &files[held]);
    }
    while (rc < 0 && held)
        file_put(files[--held]);
    return rc;
}

void changes_let_files_go(const struct changes *changes, struct file *const *files)
{
    for (uint32_t i = 0; i < changes->files_count; i++)
        file_put(files[i]);
}

int changes_apply(struct memory *memory, struct space *space, const struct changes *changes)
{
    struct file *files[OPS_FILES_MAX];
    int rc = changes_hold_files(memory, changes, files);
    if (rc < 0)
        return rc;
    rc = apply_list(space, changes, files);
    changes_let_files_go(changes, files);
    return rc;
}
