/*
 * Paths as text: what can be said about one without asking anybody.
 *
 * Pure functions on buffers of PATH_LIMIT bytes, without the rest of ashlar-exec, so that their
 * tests run anywhere.
 */
#ifndef ASHLAR_KERNEL_PATH_TEXT_H
#define ASHLAR_KERNEL_PATH_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "limits.h"

/* Whether the absolute path begins with the components of prefix ("/dev" begins "/dev/null"). */
bool path_under(const char *path, const char *prefix);

/* Whether it lies under /proc, /dev or /sys: the pComponent's own files. */
bool path_is_local(const char *path);

/*
 * Replaces the first `skip` bytes of path with room for `size` bytes, which the caller fills.
 * Returns 0 or -ENAMETOOLONG (path is then as it was).
 */
int path_make_room(char path[PATH_LIMIT], size_t skip, size_t size)
    __attribute__((warn_unused_result));

/* Puts base before a relative path, with one slash between them. 0 or -ENAMETOOLONG. */
int path_join(char path[PATH_LIMIT], const char *base) __attribute__((warn_unused_result));

/*
 * Takes ., .. and doubled slashes out of an absolute path by its text alone, as is right where no
 * symbolic link to a directory is in the way. A final slash stays.
 */
void path_normalise(char path[PATH_LIMIT]);

/* Reads decimal digits at *text and moves it past them; -1 where there are none or too many. */
int path_number(const char **text);

#endif
