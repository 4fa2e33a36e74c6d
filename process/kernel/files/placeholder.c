/* See placeholder.h. */
#include "placeholder.h"

#include <linux/fcntl.h>
#include <linux/memfd.h>
#include <linux/mman.h>

#include "../host/host.h"

#define PLACEHOLDER_MAGIC 0x3244466c68734121ull /* "!AshlFD2" */

/* Where a memfd has the description's OFD locks, once it had one: after the path. */
enum { LOCKS_AT = 2 * LINE_SIZE };
_Static_assert(sizeof(struct placeholder) + PATH_LIMIT <= LOCKS_AT, "the path ends before");

enum { MEMFD_NAME_MAX = 249 }; /* bytes of a memfd's name, without its NUL */

int placeholder_make(const char *path, bool cloexec)
{
    char name[MEMFD_NAME_MAX + 1];
    size_t prefix = text_copy(name, sizeof name, PLACEHOLDER_NAME);
    text_copy(name + prefix, sizeof name - prefix, path);
    return (int)host_call(__NR_memfd_create, name, cloexec ? MFD_CLOEXEC : 0);
}

int placeholder_fill(int fd, struct placeholder *p, const char *path, uint32_t host_flags)
{
    struct {
        const void *base;
        size_t size;
    } parts[2] = {{p, sizeof *p}, {path, strlen(path)}};
    p->magic = PLACEHOLDER_MAGIC;
    p->path_length = (uint32_t)parts[1].size;
    long rc = host_call(__NR_pwritev, fd, parts, 2, 0, 0);
    if (rc >= 0 && (size_t)rc != sizeof *p + p->path_length)
        rc = -ENOSPC;
    host_flags &= PLACEHOLDER_HOST_FLAGS;
    if (rc >= 0 && host_flags)
        rc = host_call(__NR_fcntl, fd, F_SETFL, host_flags);
    return rc < 0 ? (int)rc : 0;
}

int placeholder_read(int fd, struct placeholder *p)
{
    /* Only files of shared memory have seals: nothing else is read from. */
    long rc = host_call(__NR_fcntl, fd, F_GET_SEALS);
    if (rc == -EBADF)
        return host_call(__NR_fcntl, fd, F_GETFD) < 0 ? -EBADF : 0; /* O_PATH has no seals */
    if (rc < 0)
        return 0;
    rc = host_call(__NR_pread64, fd, p, sizeof *p, 0);
    return rc == sizeof *p && p->magic == PLACEHOLDER_MAGIC && p->path_length < PATH_LIMIT;
}

int placeholder_path(int fd, char *out, uint32_t length)
{
    long rc = host_call(__NR_pread64, fd, out, length, sizeof(struct placeholder));
    return rc == (long)length ? 0 : -EBADF;
}

/*
 * One byte is changed, so that another process's change of the other one stays; and not by a write,
 * which O_APPEND would have at the end.
 */
static void note(int fd, uint8_t value, size_t field)
{
    const size_t size = sizeof(struct placeholder);
    long at = host_call(__NR_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at < 0 && at > -4096)
        return;
    uint8_t *state = (uint8_t *)at + offsetof(struct placeholder, state);
    __atomic_store_n(state + field, value, __ATOMIC_RELAXED);
    host_call(__NR_munmap, at, size);
}

void placeholder_note_flock(int fd, uint8_t kind)
{
    note(fd, kind, offsetof(struct placeholder_state, flock));
}

void placeholder_note_direct(int fd, bool direct)
{
    note(fd, direct, offsetof(struct placeholder_state, direct));
}

void placeholder_lock_changed(int fd, uint64_t first, uint64_t last, uint8_t kind)
{
    const size_t size = sizeof(struct kept_locks);
    if (host_call(__NR_ftruncate, fd, LOCKS_AT + size) < 0)
        return;
    long at = host_call(__NR_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, LOCKS_AT);
    if (at < 0 && at > -4096)
        return;
    kept_locks_set((struct kept_locks *)at, first, last, kind);
    host_call(__NR_munmap, at, size);
}

bool placeholder_kept_locks(int fd, struct kept_locks *out)
{
    return host_call(__NR_pread64, fd, out, sizeof *out, LOCKS_AT) == sizeof *out;
}

struct placeholder_state placeholder_state(int fd)
{
    struct placeholder_state state = {0};
    host_call(__NR_pread64, fd, &state, sizeof state, offsetof(struct placeholder, state));
    return state;
}

uint32_t placeholder_host_flags(int fd)
{
    long flags = host_call(__NR_fcntl, fd, F_GETFL);
    return flags < 0 ? 0 : (uint32_t)flags & PLACEHOLDER_HOST_FLAGS;
}
