/*
 * What a connection may change: a set of directories of the vNode.
 *
 * The set never changes once it is made. Paths are canonical (absolute, no symbolic links): who
 * makes the set resolves them first, who asks hands in a path that the host has read back.
 */
#ifndef ASHLAR_STORAGE_RIGHTS_H
#define ASHLAR_STORAGE_RIGHTS_H

#include <stdbool.h>
#include <stddef.h>

struct rights {
    char *text;   /* the directories, each with its NUL, one after the other */
    size_t count; /* of directories */
};

/*
 * Makes the set from a list with ':' between absolute paths (NULL or "": nothing may be changed).
 * `canonical` turns each into its canonical form in a buffer of PATH_LIMIT bytes; where it returns
 * a negative error the directory is left out: a place that is not there grants nothing.
 * Returns 0, -EINVAL (a path that is not absolute), -ENOMEM.
 */
int rights_make(struct rights *rights, const char *list,
                int (*canonical)(void *self, const char *path, char *out), void *self)
    __attribute__((warn_unused_result));
void rights_free(struct rights *rights);

/* Whether a canonical path is one of the directories or lies below one. */
bool rights_cover(const struct rights *rights, const char *path);

#endif
