/*
 * /proc and the cgroup files as the program is to see them: its own memory, arguments, signals and
 * limits, not ashlar-exec's; and the memory of its home mComponent for that of the machine.
 *
 * The files stay the host's, opened by the host: names, permissions, positions, fstat and readlink
 * are right as they are. A descriptor of one whose content is to be another's is marked
 * (ENTRY_HOST_PROC), and what is read from it is made here, whole, when it is read at its beginning
 * (read.c keeps it until its end was read), with the host's own text for all that the host knows.
 *
 * Of another process the same is told, as ashlar-exec there has it in its memory (view.h); where
 * that cannot be read, what its host process shows, without what lies outside the app window. The
 * monitor prepares that (proc_introduce).
 */
#ifndef ASHLAR_KERNEL_PROC_H
#define ASHLAR_KERNEL_PROC_H

#include "../entry/thread.h"
#include "../files/descriptor.h"

struct texts;
struct user_iov;

enum proc_file {
    PROC_NONE,
    PROC_MAPS,
    PROC_SMAPS,
    PROC_SMAPS_ROLLUP,
    PROC_NUMA_MAPS,
    PROC_STATUS,
    PROC_STAT,
    PROC_STATM,
    PROC_CMDLINE,
    PROC_ENVIRON,
    PROC_LIMITS,
    PROC_FDINFO,
    PROC_MEM,
    PROC_CLEAR_REFS,
    PROC_MEMINFO,
    PROC_MEMORY_LIMIT, /* of a cgroup */
    PROC_FD_LIST,      /* the directories fd and fdinfo */
};

/* What a host path names. */
struct proc_name {
    enum proc_file file;
    int pid, tid; /* tid 0: the process as a whole */
    int fd;       /* PROC_FDINFO */
};
void proc_parse(const char *path, struct proc_name *out);
enum { PROC_PATH = 256 };
/* The same of a descriptor's host path, whose length it returns, or a negative errno. */
long proc_name_of(int fd, char path[PROC_PATH], struct proc_name *out);

/* What kind of entry a host descriptor is. */
enum entry_kind proc_kind(int fd);

/* read and pread of an ENTRY_HOST_PROC; offset -1: the descriptor's own. */
long proc_read(struct thread *t, struct descriptor *d, struct user_iov *v, int64_t offset);
/* The same into monitor memory. */
long proc_read_kernel(struct thread *t, struct descriptor *d, void *to, size_t size,
                      int64_t offset);
/* True where writing to it is not the host's affair (its own memory): *result is what it was. Of
   clear_refs it takes note alone. */
bool proc_write(struct thread *t, struct descriptor *d, struct user_iov *v, int64_t offset,
                long *result);

/*
 * Has a host whose Yama lets parents alone read a process let other ones of the same user do so.
 * A forked child does not inherit that.
 */
void proc_readable(void);
/* In a forked child: texts that others were reading are forgotten, with whatever lock they held. */
void proc_fork_child(void);

/* After the program was loaded: what the host tells others of this process. */
void proc_introduce(struct process *p, const char *const *argv, const char *const *envp);
/* The program that another process of a run executes. 0 or -ENOENT. */
int proc_program(int pid, char out[PATH_LIMIT]);

/* The memory of the home, in bytes: sysinfo() says the same. */
struct proc_memory {
    uint64_t total, free;
};
struct proc_memory proc_memory(void);

#endif
