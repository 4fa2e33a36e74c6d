/*
 * A process: what its threads share besides memory. A vfork child has one of its own and shares its
 * parent's mm until it execs.
 */
#ifndef ASHLAR_KERNEL_PROCESS_H
#define ASHLAR_KERNEL_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "boot.h"
#include "limits.h"
#include "stats.h"
#include "../host/lock.h"

struct thread;
struct files;
struct signal_actions;
struct texts;

struct process {
    int pid;        /* never changes */
    bool executing; /* its limits have gone to the next image; read by others */
    bool vforked;   /* shares its parent's mm: must not keep what it changes there */
    struct mutex threads_lock;
    struct thread *threads;   /* protected by threads_lock */
    uint32_t thread_count;    /* protected by threads_lock */
    struct thread *dead;      /* ended, blocks not freed yet; protected by threads_lock */
    struct texts *exec_texts; /* vforked: what its execve used, freed by the parent; exec.c */
    uint64_t rpc_limit;       /* vforked: connections made later are not in its descriptors */

    struct files *files;            /* files/: descriptors, cwd, umask; has its own locks */
    struct signal_actions *actions; /* signals/: handlers; has its own lock */

    /* The node and the components; rpc/ has the locks. Never change but at fork and exec. */
    int node_fd, lifeline_fd, stats_fd, exec_fd, trace_fd;
    struct mutex node_lock; /* one request at a time on node_fd */
    uint64_t node_posted;   /* the one whose answer was not waited for; 0: none; node_lock */
    uint64_t run_id;
    uint64_t excache_bytes;
    uint32_t boot_flags, policy;
    struct component_info memory, storage;
    struct joined *joined; /* vforked: what its execve has got from the node already; exec.c */

    struct limit limits[KEPT_LIMITS]; /* values are relaxed atomics; host_limits.c */

    struct held text;          /* the file that it executes, as the sComponent knows it */
    char program[PATH_LIMIT];  /* absolute path of the ELF file that runs; see /proc/self/exe */
    char name[16];             /* comm */
    char writable[PATH_LIMIT]; /* of the run; handed on at exec */
    uint64_t auxv[64];         /* as given to the program */
};

/* The process of a host process that is no vfork child; others read it (proc/view.c). */
extern struct process first_process;

/* The counters of the run, shared with its other processes; never NULL. */
extern struct run_stats *stats;
#define STAT_ADD(field, n) __atomic_fetch_add(&stats->field, (n), __ATOMIC_RELAXED)

#endif
