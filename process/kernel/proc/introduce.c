/*
 * What others learn of this process: its memory may be read by them (view.c). /proc/PID/cmdline,
 * environ and auxv show what PR_SET_MM_MAP names, and a hidden memfd says by its name which program
 * runs. A copy of the strings, as they were at first, lies in monitor memory for that, up to
 * INTRODUCE_MOST.
 */
#include <linux/fcntl.h>
#include <linux/memfd.h>
#include <linux/prctl.h>

#include "../entry/process.h"
#include "../files/path_text.h"
#include "../host/host.h"
#include "../mm/mm.h"
#include "../rpc/node.h"
#include "make.h"

#define PROGRAM_NAME "ashlar-program:"
#define PROGRAM_LINK "/memfd:" PROGRAM_NAME

enum { INTRODUCE_MOST = 64 * 1024, NAME_MOST = 249, AUXV_WORDS = 64 };

static void put_all(struct text *x, const char *const *strings)
{
    for (; *strings; strings++)
        text_put(x, *strings, strlen(*strings) + 1);
}

/* A kernel without CONFIG_CHECKPOINT_RESTORE refuses: then the host shows what execve was given. */
static void show_strings(struct process *p, const char *const *argv, const char *const *envp)
{
    struct text x = {0};
    put_all(&x, argv);
    size_t arguments = x.size;
    put_all(&x, envp);
    if (x.size > INTRODUCE_MOST)
        x.size = arguments;
    if (x.failed || !x.size || arguments > INTRODUCE_MOST) {
        text_free(&x);
        return;
    }
    struct proc_figures f = {0};
    struct view *view = view_open(p, &(struct proc_name){.pid = p->pid}, false);
    if (view) {
        proc_measure(view, &f);
        view_close(view);
    }
    if (!f.data_start) /* none: the host wants a place where something is */
        f.data_start = f.data_end = f.code_start;
    struct prctl_mm_map map = {
        .start_code = f.code_start,
        .end_code = f.code_end,
        .start_data = f.data_start,
        .end_data = f.data_end,
        .start_brk = mm.brk_start,
        .brk = mm.brk_start,
        .start_stack = mm.layout.stack,
        .arg_start = (uint64_t)x.bytes,
        .arg_end = (uint64_t)x.bytes + arguments,
        .env_start = (uint64_t)x.bytes + arguments,
        .env_end = (uint64_t)x.bytes + x.size,
        .auxv = (void *)p->auxv,
        .exe_fd = (uint32_t)-1,
    };
    while (map.auxv_size + 16 <= sizeof p->auxv) {
        uint64_t type = p->auxv[map.auxv_size / 8];
        map.auxv_size += 16;
        if (!type)
            break;
    }
    if (host_call(__NR_prctl, PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0) < 0)
        text_free(&x);
}

void proc_readable(void)
{
    host_call(__NR_prctl, PR_SET_PTRACER, PR_SET_PTRACER_ANY);
}

void proc_introduce(struct process *p, const char *const *argv, const char *const *envp)
{
    char name[NAME_MOST + 1];
    proc_readable();
    show_strings(p, argv, envp);
    size_t prefix = text_copy(name, sizeof name, PROGRAM_NAME);
    if (text_copy(name + prefix, sizeof name - prefix, p->program) >= sizeof name - prefix)
        return;
    long fd = host_call(__NR_memfd_create, name, MFD_CLOEXEC);
    if (fd >= 0)
        fd_hide((int)fd);
}

int proc_program(int pid, char out[PATH_LIMIT])
{
    struct {
        uint64_t ino, off;
        uint16_t length;
        uint8_t type;
        char name[];
    } __attribute__((packed)) const *entry;
    uint8_t buffer[1024];
    char path[64];
    int rc = -ENOENT;

    text_format(path, sizeof path, "/proc/%d/fd", pid);
    long list = host_call(__NR_open, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0), got;
    if (list < 0)
        return -ENOENT;
    while (rc < 0 && (got = host_call(__NR_getdents64, list, buffer, sizeof buffer)) > 0) {
        for (long at = 0; rc < 0 && at < got; at += entry->length) {
            entry = (const void *)(buffer + at);
            const char *digits = entry->name;
            if (!fd_is_hidden(path_number(&digits)))
                continue;
            text_format(path, sizeof path, "/proc/%d/fd/%s", pid, entry->name);
            long size = host_call(__NR_readlink, path, out, PATH_LIMIT - 1);
            size_t prefix = strlen(PROGRAM_LINK), end = strlen(PLACEHOLDER_LINK_END);
            if (size < 0 || (size_t)size <= prefix + end)
                continue;
            out[size] = 0;
            if (!text_begins(out, PROGRAM_LINK))
                continue;
            out[(size_t)size - end] = 0;
            memmove(out, out + prefix, strlen(out + prefix) + 1);
            rc = 0;
        }
    }
    host_call(__NR_close, list);
    return rc;
}
