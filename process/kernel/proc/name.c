/* Which host files are not shown as the host has them. */
#include <linux/fcntl.h>
#include <asm/statfs.h>

#include "../files/path_text.h"
#include "../files/watch.h"
#include "../host/host.h"
#include "proc.h"

enum {
    MAGIC_PROC = 0x9fa0,
    MAGIC_CGROUP2 = 0x63677270,
    MAGIC_CGROUP = 0x27e0eb,
    MAGIC_PIPES = 0x50495045
};

static const struct {
    const char *name;
    enum proc_file file;
} of_process[] = {
    {"maps", PROC_MAPS},
    {"smaps", PROC_SMAPS},
    {"smaps_rollup", PROC_SMAPS_ROLLUP},
    {"status", PROC_STATUS},
    {"stat", PROC_STAT},
    {"statm", PROC_STATM},
    {"cmdline", PROC_CMDLINE},
    {"environ", PROC_ENVIRON},
    {"limits", PROC_LIMITS},
    {"mem", PROC_MEM},
    {"fd", PROC_FD_LIST},
    {"fdinfo", PROC_FD_LIST},
    {"numa_maps", PROC_NUMA_MAPS},
    {"clear_refs", PROC_CLEAR_REFS},
};

static bool ends_with(const char *path, const char *end)
{
    size_t size = strlen(path), n = strlen(end);
    return size >= n && !strcmp(path + size - n, end);
}

void proc_parse(const char *path, struct proc_name *out)
{
    static const char *const limits[] = {"/memory.max", "/memory.high", "/memory.limit_in_bytes",
                                         "/memory.soft_limit_in_bytes"};
    *out = (struct proc_name){.fd = -1};
    if (text_begins(path, "/sys/fs/cgroup/"))
        for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
            if (ends_with(path, limits[i]))
                out->file = PROC_MEMORY_LIMIT;
    if (!text_begins(path, "/proc/"))
        return;
    const char *at = path + 6;
    if (!strcmp(at, "meminfo"))
        out->file = PROC_MEMINFO;
    out->pid = path_number(&at);
    if (out->pid < 0 || *at++ != '/')
        return;
    if (text_begins(at, "task/")) {
        at += 5;
        out->tid = path_number(&at);
        if (out->tid < 0 || *at++ != '/')
            return;
    }
    if (text_begins(at, "fdinfo/")) {
        at += 7;
        out->fd = path_number(&at);
        out->file = out->fd >= 0 && !*at ? PROC_FDINFO : PROC_NONE;
        return;
    }
    for (size_t i = 0; i < sizeof of_process / sizeof *of_process; i++)
        if (!strcmp(at, of_process[i].name))
            out->file = of_process[i].file;
}

long proc_name_of(int fd, char path[PROC_PATH], struct proc_name *out)
{
    char link[32];
    text_format(link, sizeof link, "/proc/self/fd/%d", fd);
    long size = host_call(__NR_readlink, link, path, PROC_PATH - 1);
    path[size < 0 ? 0 : size] = 0;
    proc_parse(path, out);
    return size;
}

enum entry_kind proc_kind(int fd)
{
    struct statfs fs;
    struct proc_name name;
    char path[PROC_PATH];
    bool known = host_call(__NR_fstatfs, fd, &fs) == 0;
    if (known && fs.f_type == MAGIC_PIPES && watch_is(fd))
        return ENTRY_HOST_WATCH;
    if (!known ||
        (fs.f_type != MAGIC_PROC && fs.f_type != MAGIC_CGROUP2 && fs.f_type != MAGIC_CGROUP))
        return ENTRY_HOST;
    if (proc_name_of(fd, path, &name) < 0)
        return ENTRY_HOST;
    return name.file == PROC_NONE      ? ENTRY_HOST
           : name.file == PROC_FD_LIST ? ENTRY_HOST_LIST
                                       : ENTRY_HOST_PROC;
}
