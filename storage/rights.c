/*
 * What a connection may change: a set of directories of the vNode.
 *
 * A handful of directories a connection, so a linear scan: no system call, one comparison each.
 */
#include "rights.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "limits.h"

static int add(struct rights *rights, size_t *used, const char *path)
{
    size_t size = strlen(path) + 1;
    char *text = realloc(rights->text, *used + size);
    if (!text)
        return -ENOMEM;
    memcpy(text + *used, path, size);
    rights->text = text;
    rights->count++;
    *used += size;
    return 0;
}

int rights_make(struct rights *rights, const char *list,
                int (*canonical)(void *self, const char *path, char *out), void *self)
{
    size_t used = 0;
    int rc = 0;

    *rights = (struct rights){0};
    for (const char *at = list ? list : ""; *at && rc == 0;) {
        char path[PATH_LIMIT], real[PATH_LIMIT];
        size_t length = strcspn(at, ":");
        if (length > 0) {
            if (*at != '/' || length >= sizeof path) {
                rc = -EINVAL;
                break;
            }
            memcpy(path, at, length);
            path[length] = 0;
            if (canonical(self, path, real) == 0)
                rc = add(rights, &used, real);
        }
        at += length + (at[length] == ':');
    }
    if (rc < 0)
        rights_free(rights);
    return rc;
}

void rights_free(struct rights *rights)
{
    free(rights->text);
    *rights = (struct rights){0};
}

bool rights_cover(const struct rights *rights, const char *path)
{
    const char *directory = rights->text;

    for (size_t i = 0; i < rights->count; i++) {
        size_t length = strlen(directory);
        /* "/" covers everything; else the match must end where a component ends. */
        if (length == 1 && path[0] == '/')
            return true;
        if (!strncmp(path, directory, length) && (path[length] == 0 || path[length] == '/'))
            return true;
        directory += length + 1;
    }
    return false;
}
