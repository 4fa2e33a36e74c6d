/* See path_text.h. */
#include "path_text.h"

#include <linux/errno.h>

#include "../host/host.h"

bool path_under(const char *path, const char *prefix)
{
    while (*prefix && *path == *prefix) {
        path++;
        prefix++;
    }
    return !*prefix && (!*path || *path == '/');
}

bool path_is_local(const char *path)
{
    return path_under(path, "/proc") || path_under(path, "/dev") || path_under(path, "/sys");
}

int path_make_room(char path[PATH_LIMIT], size_t skip, size_t size)
{
    size_t rest = strlen(path + skip) + 1;
    if (size + rest > PATH_LIMIT)
        return -ENAMETOOLONG;
    memmove(path + size, path + skip, rest);
    return 0;
}

int path_join(char path[PATH_LIMIT], const char *base)
{
    size_t size = strlen(base);
    bool slash = size && base[size - 1] == '/';
    int rc = path_make_room(path, 0, size + !slash);
    if (rc < 0)
        return rc;
    memcpy(path, base, size);
    if (!slash)
        path[size] = '/';
    return 0;
}

void path_normalise(char path[PATH_LIMIT])
{
    char *to = path;
    const char *from = path;
    while (*from) {
        while (*from == '/')
            from++;
        size_t size = 0;
        while (from[size] && from[size] != '/')
            size++;
        if (size == 0) {
            *to++ = '/';
            break;
        }
        bool dot = size == 1 && from[0] == '.';
        bool dots = size == 2 && from[0] == '.' && from[1] == '.';
        if (dots) {
            while (to > path && *--to != '/')
                ;
        } else if (!dot) {
            *to++ = '/';
            memmove(to, from, size);
            to += size;
        }
        from += size;
    }
    if (to == path)
        *to++ = '/';
    *to = 0;
}

int path_number(const char **text)
{
    const char *at = *text;
    long n = 0;
    while (*at >= '0' && *at <= '9' && n < 100000000)
        n = n * 10 + (*at++ - '0');
    if (at == *text || (*at >= '0' && *at <= '9'))
        return -1;
    *text = at;
    return (int)n;
}
