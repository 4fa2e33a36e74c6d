/*
 * The machine as the program sees it: its memory is that of its home mComponent, for it is there
 * that its lines live. What is asked of the home is at most as old as the text that tells it.
 */
#include <linux/sysinfo.h>

#include "../mm/mm.h"
#include "../rpc/rpc.h"
#include "../syscalls/host_calls.h"
#include "make.h"

enum { MEMINFO_COLUMN = 24 };

struct proc_memory proc_memory(void)
{
    struct rpc rpc;
    struct msg_space_stat request = {.asid = mm.asid};
    struct msg_space_stat_reply reply;
    struct proc_memory m = {.total = mm.memory_bytes};
    int rc = RPC_CALL(&rpc, MEMORY, SPACE_STAT, space_stat, &request, &reply);
    rpc_end(&rpc);
    if (rc == 0)
        m.free = reply.free_bytes < m.total ? reply.free_bytes : m.total;
    return m;
}

void proc_make_meminfo(struct text *x)
{
    struct proc_memory m = proc_memory();
    uint64_t total = m.total / 1024, free = m.free / 1024, used = total - free;
    const struct {
        const char *name;
        uint64_t kb;
    } rows[] = {
        {"MemTotal:", total},
        {"MemFree:", free},
        {"MemAvailable:", free},
        {"Buffers:", 0},
        {"Cached:", 0},
        {"SwapCached:", 0},
        {"Active:", used},
        {"Inactive:", 0},
        {"Active(anon):", used},
        {"Inactive(anon):", 0},
        {"Active(file):", 0},
        {"Inactive(file):", 0},
        {"Unevictable:", 0},
        {"Mlocked:", 0},
        {"SwapTotal:", 0},
        {"SwapFree:", 0},
        {"Zswap:", 0},
        {"Zswapped:", 0},
        {"Dirty:", 0},
        {"Writeback:", 0},
        {"AnonPages:", used},
        {"Mapped:", 0},
        {"Shmem:", 0},
        {"KReclaimable:", 0},
        {"Slab:", 0},
        {"SReclaimable:", 0},
        {"SUnreclaim:", 0},
        {"KernelStack:", 0},
        {"PageTables:", 0},
        {"SecPageTables:", 0},
        {"NFS_Unstable:", 0},
        {"Bounce:", 0},
        {"WritebackTmp:", 0},
        {"CommitLimit:", total},
        {"Committed_AS:", used},
        {"VmallocTotal:", 34359738367},
        {"VmallocUsed:", 0},
        {"VmallocChunk:", 0},
        {"Percpu:", 0},
        {"AnonHugePages:", 0},
        {"ShmemHugePages:", 0},
        {"ShmemPmdMapped:", 0},
        {"FileHugePages:", 0},
        {"FilePmdMapped:", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        text_kb(x, rows[i].name, MEMINFO_COLUMN, rows[i].kb);
    text_puts(x,
              "HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\n"
              "HugePages_Surp:        0\nHugepagesize:       2048 kB\nHugetlb:               0 kB\n"
              "DirectMap4k:           0 kB\n");
}

long sys_sysinfo(struct thread *t, const uint64_t a[6])
{
    struct sysinfo info;
    (void)t;
    long rc = host_call(__NR_sysinfo, &info);
    if (rc < 0)
        return rc;
    struct proc_memory m = proc_memory();
    info.totalram = m.total;
    info.freeram = m.free;
    info.sharedram = info.bufferram = info.totalswap = info.freeswap = 0;
    info.totalhigh = info.freehigh = 0;
    info.mem_unit = 1;
    return user_write(a[0], &info, sizeof info);
}
