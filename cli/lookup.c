/* See lookup.h. */
#include "lookup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_PATH "/usr/local/bin:/bin:/usr/bin" /* execvp's, where PATH is not set */

/* In a search of PATH, what cannot be seen is not there, as for the shells. */
static int executable(const char *path, bool searching)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return searching || errno == ENOTDIR ? -ENOENT : -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

/* An entry that is relative, or empty (the current directory), starts at cwd. */
static int join(const char *cwd, const char *dir, size_t dir_length, const char *name, char *path,
                size_t size)
{
    int n = dir_length > 0 && dir[0] == '/'
                ? snprintf(path, size, "%.*s/%s", (int)dir_length, dir, name)
            : dir_length > 0 ? snprintf(path, size, "%s/%.*s/%s", cwd, (int)dir_length, dir, name)
                             : snprintf(path, size, "%s/%s", cwd, name);
    return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int lookup_program(const char *name, const char *cwd, char *path, size_t size)
{
    if (!*name)
        return -ENOENT;
    if (strchr(name, '/')) {
        int n = name[0] == '/' ? snprintf(path, size, "%s", name)
                               : snprintf(path, size, "%s/%s", cwd, name);
        return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : executable(path, false);
    }
    const char *dirs = getenv("PATH");
    if (!dirs)
        dirs = DEFAULT_PATH;
    int found = -ENOENT; /* the first file that was there but would not do */
    for (const char *at = dirs;; at++) {
        size_t length = strcspn(at, ":");
        int rc = join(cwd, at, length, name, path, size);
        if (rc == 0)
            rc = executable(path, true);
        if (rc == 0)
            return 0;
        if (rc != -ENOENT && rc != -EISDIR && found == -ENOENT)
            found = rc;
        at += length;
        if (!*at)
            return found;
    }
}
