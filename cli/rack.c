/* See rack.h. */
#include "rack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli.h"

enum { BASE_MAX = RACK_DIR_MAX - NAME_LIMIT - 2 };

/* ---- names and places ---- */

bool rack_name_valid(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length >= NAME_LIMIT || name[0] == '.')
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
           length;
}

const char *rack_choose_name(const char *option, bool *named)
{
    const char *variable = getenv("ASHLAR_RACK");
    const char *name = option ? option : variable && *variable ? variable : NULL;
    *named = name != NULL;
    if (!name)
        return RACK_DEFAULT;
    if (rack_name_valid(name))
        return name;
    cli_error("'%s' is no name for a rack: letters, digits, '.', '_', '-', at most %d", name,
              NAME_LIMIT - 1);
    return NULL;
}

/* Makes dir where it is missing; refuses one that is another's or that others may enter. */
static int own_private_dir(const char *dir)
{
    struct stat st;
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return -errno;
    if (lstat(dir, &st) < 0)
        return -errno;
    return S_ISDIR(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 077) == 0 ? 0 : -EPERM;
}

static int locate_base(char base[BASE_MAX])
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    bool use = runtime && runtime[0] == '/' && access(runtime, W_OK | X_OK) == 0 &&
               snprintf(base, BASE_MAX, "%s/ashlar", runtime) < BASE_MAX;
    if (!use)
        snprintf(base, BASE_MAX, "/tmp/ashlar-%u", (unsigned)geteuid());
    int rc = own_private_dir(base);
    if (rc < 0)
        cli_error("%s cannot be used: %s", base,
                  rc == -EPERM ? "it is not this user's own, with mode 0700" : strerror(-rc));
    return rc;
}

int rack_locate(struct rack *rack, const char *name)
{
    char base[BASE_MAX];
    int rc = locate_base(base);
    if (rc < 0)
        return rc;
    *rack = (struct rack){.dir_fd = -1};
    snprintf(rack->name, sizeof rack->name, "%s", name);
    snprintf(rack->dir, sizeof rack->dir, "%s/%s", base, name);
    return 0;
}

int rack_name(struct rack *rack, const char *option)
{
    bool named;
    const char *name = rack_choose_name(option, &named);
    if (!name)
        return CLI_USAGE;
    return rack_locate(rack, name) < 0 ? CLI_FAILED : CLI_OK;
}

int rack_open(struct rack *rack, const char *option)
{
    int code = rack_name(rack, option);
    int rc = code == CLI_OK ? rack_load(rack) : 0;
    if (rc == 0)
        return code;
    cli_error(rc == -ENOENT ? "there is no rack %s (ashlar up)"
                            : "rack %s: rack.json cannot be read (ashlar down)",
              rack->name);
    return CLI_NO_RACK;
}

void rack_each(void (*each)(const char *name, void *argument), void *argument)
{
    char base[BASE_MAX];
    DIR *dir = locate_base(base) < 0 ? NULL : opendir(base);
    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir));) {
        if (rack_name_valid(e->d_name))
            each(e->d_name, argument);
    }
    closedir(dir);
}

/* ---- the lock ---- */

int rack_lock(struct rack *rack, bool create)
{
    for (;;) {
        int rc = create ? own_private_dir(rack->dir) : 0;
        if (rc < 0)
            return rc;
        int fd = open(rack->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0) {
            if (errno == ENOENT && create)
                continue; /* removed in between */
            return -errno;
        }
        while ((rc = flock(fd, LOCK_EX)) < 0 && errno == EINTR)
            ;
        /* Whoever had the lock may have removed the directory: then there may be a new one. */
        struct stat ours, there;
        bool same = rc == 0 && fstat(fd, &ours) == 0 && stat(rack->dir, &there) == 0 &&
                    ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
        if (same) {
            rack->dir_fd = fd;
            return 0;
        }
        rc = rc < 0 ? -errno : 0;
        close(fd);
        if (rc < 0)
            return rc;
    }
}

void rack_unlock(struct rack *rack)
{
    if (rack->dir_fd >= 0)
        close(rack->dir_fd);
    rack->dir_fd = -1;
}

/* ---- rack.json ---- */

static const struct {
    enum component_kind kind;
    const char *name;
} kinds[] = {
    {COMPONENT_PROCESS, "process"},
    {COMPONENT_MEMORY, "memory"},
    {COMPONENT_STORAGE, "storage"},
    {COMPONENT_GLOBAL, "global"},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

const char *rack_kind_name(enum component_kind kind)
{
    for (int i = 0; i < KINDS; i++) {
        if (kinds[i].kind == kind)
            return kinds[i].name;
    }
    return "unknown";
}

static bool kind_parse(const char *name, enum component_kind *kind)
{
    for (int i = 0; i < KINDS; i++) {
        if (strcmp(kinds[i].name, name) == 0) {
            *kind = kinds[i].kind;
            return true;
        }
    }
    return false;
}

static bool load_daemon(json_t *item, struct daemon_record *record)
{
    const char *name, *kind, *address;
    const char *file = "";
    json_int_t pid, started, file_size = 0;
    if (json_unpack(item, "{s:s, s:s, s:I, s:I, s:s, s?s, s?I}", "name", &name, "kind", &kind,
                    "pid", &pid, "started", &started, "address", &address, "file", &file,
                    "file_size_bytes", &file_size) < 0)
        return false;
    record->file.size_bytes = (uint64_t)file_size;
    record->pid = (pid_t)pid;
    record->started = (uint64_t)started;
    return snprintf(record->name, sizeof record->name, "%s", name) < (int)sizeof record->name &&
           snprintf(record->address, sizeof record->address, "%s", address) <
               (int)sizeof record->address &&
           snprintf(record->file.path, sizeof record->file.path, "%s", file) <
               (int)sizeof record->file.path &&
           kind_parse(kind, &record->kind) && record->pid > 0;
}

int rack_load(struct rack *rack)
{
    char path[RACK_DIR_MAX + 16];
    snprintf(path, sizeof path, "%s/rack.json", rack->dir);
    if (access(path, F_OK) < 0)
        return -errno;
    json_t *root = json_load_file(path, 0, NULL);
    json_t *daemons, *item;
    json_int_t memory_size, excache_total;
    const char *replica_dram = "", *log_dir = "";
    int rc = -EINVAL;
    size_t i;
    if (json_unpack(root, "{s:I, s:I, s?s, s?s, s:o}", "memory_size_bytes", &memory_size,
                    "excache_total_bytes", &excache_total, "replica_dram", &replica_dram, "log_dir",
                    &log_dir, "daemons", &daemons) < 0 ||
        strlen(replica_dram) >= sizeof rack->replica_dram ||
        strlen(log_dir) >= sizeof rack->log_dir || json_array_size(daemons) > RACK_DAEMONS_MAX)
        goto out;
    strcpy(rack->replica_dram, replica_dram);
    strcpy(rack->log_dir, log_dir);
    rack->memory_size_bytes = (uint64_t)memory_size;
    rack->excache_total_bytes = (uint64_t)excache_total;
    rack->count = 0;
    json_array_foreach(daemons, i, item)
    {
        if (!load_daemon(item, &rack->daemons[rack->count]))
            goto out;
        rack->count++;
    }
    rc = 0;
out:
    json_decref(root);
    return rc;
}

int rack_save(const struct rack *rack)
{
    char path[RACK_DIR_MAX + 16], fresh[RACK_DIR_MAX + 24];
    snprintf(path, sizeof path, "%s/rack.json", rack->dir);
    snprintf(fresh, sizeof fresh, "%s.new", path);
    json_t *daemons = json_array();
    for (unsigned i = 0; i < rack->count; i++) {
        const struct daemon_record *d = &rack->daemons[i];
        json_t *item = json_pack("{s:s, s:s, s:I, s:I, s:s}", "name", d->name, "kind",
                                 rack_kind_name(d->kind), "pid", (json_int_t)d->pid, "started",
                                 (json_int_t)d->started, "address", d->address);
        if (d->file.size_bytes) {
            json_object_set_new(item, "file", json_string(d->file.path));
            json_object_set_new(item, "file_size_bytes",
                                json_integer((json_int_t)d->file.size_bytes));
        }
        json_array_append_new(daemons, item);
    }
    json_t *root =
        json_pack("{s:s, s:I, s:I, s:s, s:s, s:o}", "name", rack->name, "memory_size_bytes",
                  (json_int_t)rack->memory_size_bytes, "excache_total_bytes",
                  (json_int_t)rack->excache_total_bytes, "replica_dram", rack->replica_dram,
                  "log_dir", rack->log_dir, "daemons", daemons);
    int rc = root && json_dump_file(root, fresh, JSON_INDENT(2)) == 0 && rename(fresh, path) == 0
                 ? 0
                 : -EIO;
    json_decref(root);
    return rc;
}

/* A file, or a directory of files: the logs that an sComponent left. */
static void remove_entry(int at, const char *name)
{
    if (unlinkat(at, name, 0) == 0 || (errno != EISDIR && errno != EPERM))
        return;
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *e; dir && (e = readdir(dir));)
        (void)unlinkat(fd, e->d_name, 0);
    if (dir)
        closedir(dir);
    (void)unlinkat(at, name, AT_REMOVEDIR);
}

/* What begins so in it, and the directory, where nothing else is there. */
static int remove_directory(const char *path, const char *prefix)
{
    DIR *dir = opendir(path);
    if (!dir)
        return errno == ENOENT ? 0 : -errno;
    for (struct dirent *e; (e = readdir(dir));) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            strncmp(e->d_name, prefix, strlen(prefix)) == 0)
            remove_entry(dirfd(dir), e->d_name);
    }
    closedir(dir);
    return rmdir(path) < 0 ? -errno : 0;
}

int rack_make_log_dir(struct rack *rack, const char *parent)
{
    char path[RACK_LOG_DIR_MAX];
    snprintf(path, sizeof path, "%s/ashlar-%s-XXXXXX", parent, rack->name);
    if (!mkdtemp(path)) {
        int rc = -errno;
        cli_error("no directory for logs can be made in %s: %s", parent, strerror(-rc));
        return rc;
    }
    strcpy(rack->log_dir, path);
    return 0;
}

/* Where it is not known, rack.json says which it is. */
static void remove_log_dir(const struct rack *rack)
{
    char path[RACK_DIR_MAX + 16];
    const char *log_dir = rack->log_dir;
    snprintf(path, sizeof path, "%s/rack.json", rack->dir);
    json_t *root = log_dir[0] ? NULL : json_load_file(path, 0, NULL);
    if (root)
        (void)json_unpack(root, "{s?s}", "log_dir", &log_dir);
    if (log_dir[0])
        (void)remove_directory(log_dir, ".ashlar-logs-");
    json_decref(root);
}

int rack_remove(struct rack *rack)
{
    remove_log_dir(rack);
    return remove_directory(rack->dir, "");
}

int rack_key(const struct rack *rack, struct net_key *key)
{
    char path[RACK_DIR_MAX + 16];
    snprintf(path, sizeof path, "%s/key", rack->dir);
    return net_key_load(path, key);
}

struct daemon_record *rack_find(struct rack *rack, const char *name)
{
    for (unsigned i = 0; i < rack->count; i++) {
        if (strcmp(rack->daemons[i].name, name) == 0)
            return &rack->daemons[i];
    }
    return NULL;
}

struct daemon_record *rack_first(struct rack *rack, enum component_kind kind)
{
    for (unsigned i = 0; i < rack->count; i++) {
        if (rack->daemons[i].kind == kind)
            return &rack->daemons[i];
    }
    return NULL;
}

/* ---- daemons ---- */

uint64_t daemon_start_time(pid_t pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    if (got <= 0)
        return 0;
    text[got] = '\0';
    /* The command's name, in parentheses, may hold anything: count fields after the last one. */
    char *at = strrchr(text, ')');
    if (!at || at[1] != ' ' || at[2] == 'Z' || at[2] == 'X')
        return 0;
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at ? strtoull(at + 1, NULL, 10) : 0;
}

int daemon_open(const struct daemon_record *record)
{
    if (record->pid <= 0)
        return -1;
    int fd = (int)syscall(SYS_pidfd_open, record->pid, 0);
    /* Read after opening: where the start time still agrees, the descriptor is the right one's. */
    if (fd >= 0 && daemon_start_time(record->pid) != record->started) {
        close(fd);
        fd = -1;
    }
    return fd;
}

bool daemon_alive(const struct daemon_record *record)
{
    int fd = daemon_open(record);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}
