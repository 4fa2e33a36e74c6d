/*
 * See logs.h. A request opens its log, does one thing to it and closes it: three system calls,
 * beside those of up to 260 KiB of data that are few, and nothing to keep in step.
 */
#include "logs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_SIZE = 32 };

int logs_init(struct logs *logs, const char *parent, const char *name)
{
    char real[PATH_LIMIT];
    *logs = (struct logs){0};
    pthread_mutex_init(&logs->lock, NULL);
    if (!realpath(parent, real))
        return -errno;
    if (snprintf(logs->path, sizeof logs->path, "%s/" LOGS_NAME "-%s", real, name) <
        (int)sizeof logs->path)
        return 0;
    logs->path[0] = 0;
    return -ENAMETOOLONG;
}

/* Opens the directory; where `make`, makes it. */
static int open_directory(const struct logs *logs, bool make)
{
    if (!logs->path[0])
        return -ENOENT;
    if (make && mkdir(logs->path, 0700) < 0 && errno != EEXIST)
        return -errno;
    int fd = open(logs->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

void logs_end(struct logs *logs)
{
    if (logs->path[0])
        (void)!rmdir(logs->path);
}

static void name_log(struct component owner, uint32_t pid, char name[NAME_SIZE])
{
    snprintf(name, NAME_SIZE, "%u-%u", owner.n, pid);
}

static int open_log(const struct logs *logs, struct component owner, uint32_t pid, bool make)
{
    char name[NAME_SIZE];
    int directory = open_directory(logs, make);
    if (directory < 0)
        return directory;
    name_log(owner, pid, name);
    int fd = openat(directory, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | (make ? O_CREAT : 0), 0600);
    int rc = fd < 0 ? -errno : fd;
    close(directory);
    return rc;
}

static bool in_range(uint64_t offset, uint64_t size)
{
    return offset <= LOG_SIZE_MAX && size <= LOG_SIZE_MAX - offset;
}

int logs_write(struct logs *logs, struct component owner, uint32_t pid, uint64_t offset,
               const void *data, size_t size)
{
    if (!in_range(offset, size))
        return -EFBIG;
    int fd = open_log(logs, owner, pid, true), rc = 0;
    if (fd < 0)
        return fd;
    for (const uint8_t *from = data; size && rc == 0;) {
        ssize_t n = pwrite(fd, from, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            rc = n < 0 ? -errno : -EIO;
            continue;
        }
        from += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    close(fd);
    return rc;
}

int64_t logs_read(struct logs *logs, struct component owner, uint32_t pid, uint64_t offset,
                  void *to, size_t size)
{
    size_t done = 0;
    int64_t rc = 0;
    if (!in_range(offset, size))
        return -EFBIG;
    int fd = open_log(logs, owner, pid, false);
    if (fd < 0)
        return fd;
    while (done < size) {
        ssize_t n = pread(fd, (uint8_t *)to + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        rc = n < 0 ? -errno : 0;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    close(fd);
    return rc < 0 ? rc : (int64_t)done;
}

static int delete (struct logs *logs, struct component owner, uint32_t pid)
{
    char name[NAME_SIZE];
    int directory = open_directory(logs, false);
    if (directory < 0)
        return directory == -ENOENT ? 0 : directory;
    name_log(owner, pid, name);
    int rc = unlinkat(directory, name, 0) < 0 && errno != ENOENT ? -errno : 0;
    close(directory);
    return rc;
}

int logs_discard(struct logs *logs, struct component owner, uint32_t pid, uint64_t offset,
                 uint64_t length)
{
    if (!length)
        return delete (logs, owner, pid);
    if (!in_range(offset, length))
        return -EFBIG;
    int fd = open_log(logs, owner, pid, false);
    if (fd < 0)
        return fd;
    int rc = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length)
                 ? -errno
                 : 0;
    close(fd);
    return rc == -EOPNOTSUPP ? 0 : rc; /* the file system cannot: it is written to again */
}

/* ---- logs that nobody has ---- */

void logs_members(struct logs *logs, const struct component_info *list, size_t count)
{
    pthread_mutex_lock(&logs->lock);
    logs->told = true;
    logs->owners_count = 0;
    for (size_t i = 0; i < count && logs->owners_count < LOGS_OWNERS_MAX; i++)
        if (list[i].kind == COMPONENT_MEMORY)
            logs->owners[logs->owners_count++] =
                (struct logs_owner){list[i].id, list[i].pid, list[i].state != COMPONENT_DOWN};
    pthread_mutex_unlock(&logs->lock);
}

/* Whether that process is in the rack. */
static bool is_up(struct logs *logs, struct component id, uint32_t pid)
{
    bool up = false;
    pthread_mutex_lock(&logs->lock);
    for (size_t i = 0; i < logs->owners_count && !up; i++)
        up = logs->owners[i].id.n == id.n && logs->owners[i].pid == pid && logs->owners[i].up;
    pthread_mutex_unlock(&logs->lock);
    return up;
}

/* Since when a log's mComponent is away. Where no more can be remembered: not for long. */
static uint64_t lonely_since(struct logs *logs, struct component id, uint32_t pid, uint64_t now_ms)
{
    for (size_t i = 0; i < logs->lonely_count; i++) {
        struct logs_lonely *l = &logs->lonely[i];
        if (l->id.n == id.n && l->pid == pid) {
            l->seen = true;
            return l->since_ms;
        }
    }
    if (logs->lonely_count < LOGS_OWNERS_MAX)
        logs->lonely[logs->lonely_count++] = (struct logs_lonely){id, pid, now_ms, true};
    return now_ms;
}

static bool is_abandoned(struct logs *logs, struct component id, uint32_t pid, uint64_t now_ms,
                         uint64_t listed_ms)
{
    if (is_up(logs, id, pid))
        return false;
    return listed_ms > lonely_since(logs, id, pid, now_ms) + LOG_GONE_MS;
}

static void forget_unseen(struct logs *logs)
{
    size_t kept = 0;
    for (size_t i = 0; i < logs->lonely_count; i++)
        if (logs->lonely[i].seen)
            logs->lonely[kept++] = logs->lonely[i];
    logs->lonely_count = kept;
}

void logs_tidy(struct logs *logs, uint64_t now_ms, uint64_t listed_ms)
{
    pthread_mutex_lock(&logs->lock);
    bool told = logs->told;
    pthread_mutex_unlock(&logs->lock);
    int fd = told ? open_directory(logs, false) : -1;
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (size_t i = 0; i < logs->lonely_count; i++)
        logs->lonely[i].seen = false;
    for (struct dirent *e; (e = readdir(directory));) {
        unsigned id, pid;
        if (sscanf(e->d_name, "%u-%u", &id, &pid) == 2 && id <= UINT16_MAX &&
            is_abandoned(logs, (struct component){(uint16_t)id}, pid, now_ms, listed_ms))
            (void)!unlinkat(fd, e->d_name, 0);
    }
    forget_unseen(logs);
    closedir(directory);
}

/* ---- programs ---- */

void logs_hidden(const struct logs *logs, char out[PATH_LIMIT])
{
    strcpy(out, logs->path);
    char *name = strrchr(out, '/');
    if (name)
        name[1 + strlen(LOGS_NAME)] = 0;
}
