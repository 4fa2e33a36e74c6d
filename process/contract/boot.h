/*
 * What ashlar-exec is started with: a sealed-off description of the program to run, in a memfd
 * whose descriptor number stands in the environment variable ASHLAR_BOOT.
 *
 * Written by the ashlar command for a run's first process, and by ashlar-exec itself at execve.
 * The writer and the reader come from one build: `magic` changes with the layout.
 *
 * Layout: struct boot, then the strings, each with its NUL, in this order: program (absolute path
 * in the vNode), named (the path by which it was called), cwd, writable (':' between directories),
 * argc arguments, envc environment strings.
 */
#ifndef ASHLAR_PROCESS_BOOT_H
#define ASHLAR_PROCESS_BOOT_H

#include <stdint.h>

#include "messages.h"

#define BOOT_MAGIC 0x42746f6f42687341ull /* "AshBootB" */
#define BOOT_ENV   "ASHLAR_BOOT"

enum boot_flags {
    BOOT_TRACE = 1,       /* --trace: calls and unserved calls on trace_fd */
    BOOT_NO_MOVE = 2,     /* never use UFFDIO_MOVE, as on kernels before 6.8 */
    BOOT_NO_REWRITE = 4,  /* leave call sites as they are: every call is dispatched */
    BOOT_TRACE_ALLOC = 8, /* --trace=alloc: not calls, but how memory is allocated, on trace_fd */
};

enum boot_policy {
    BOOT_POLICY_LRU = 0,
    BOOT_POLICY_FIFO = 1,
};

/* The resource limits that ashlar-exec keeps itself, for the host's would bind the monitor too. */
enum kept_limit {
    KEPT_NOFILE,
    KEPT_FSIZE,
    KEPT_AS,
    KEPT_DATA,
    KEPT_STACK,
    KEPT_LIMITS,
};

struct limit {
    uint64_t soft, hard;
};

struct boot {
    uint64_t magic;
    uint64_t size_bytes; /* of the whole memfd, all included */
    /* After the strings, at an execve: what ashlar-exec found when it looked at the program, for
       its next image (struct program of its loader); 0: that has to look. */
    uint64_t examined_bytes;
    /* Before that: the POSIX locks of this process (struct file_locks of its files), at an execve.
     */
    uint64_t locks_bytes;
    uint64_t excache_bytes;
    uint64_t run_id;
    uint32_t flags;  /* enum boot_flags */
    uint32_t policy; /* enum boot_policy */
    /* Host descriptors, inherited; -1 where there is none. */
    int32_t node_fd;   /* UNIX socket to the node, ready for PROCESS_JOIN (or joined: memory_fd) */
    int32_t stats_fd;  /* struct run_stats, shared by the run */
    int32_t exec_fd;   /* ashlar-exec itself, opened O_PATH or O_RDONLY, for execve */
    int32_t trace_fd;  /* where --trace prints */
    int32_t memory_fd; /* -1 at a run's start: ask the node */
    int32_t storage_fd;
    int32_t segments_fd; /* with memory_fd, of an address space that is new; -1: it was used */
    uint32_t argc, envc;
    uint64_t sigmask; /* of the program; bit n-1 is signal n */
    uint64_t ignored; /* signals; with limits_known all of them, else what the host does is asked */
    uint32_t umask;
    int32_t lifeline_fd; /* closes when the node dies or gives this process up; one a process */
    /* Filled when memory_fd is: */
    struct asid asid;
    uint64_t memory_bytes;
    int32_t fd_hidden;    /* the first descriptor number hidden from the program; 0: to be chosen */
    int32_t fd_most;      /* and how many numbers there are */
    struct held cwd;      /* the hold of the working directory; all zero: not known */
    uint32_t files_below; /* an sComponent's files have numbers below; 0: not known */
    uint8_t files;        /* 1: there may be descriptors of an sComponent's files */
    uint8_t posix_locks;  /* 1: and POSIX locks on them */
    uint8_t told; /* 1: over storage_fd it was told whose rights are meant, by the last image */
    uint32_t limits_known; /* 1, at an execve: limits[] is filled; 0: they are the host's */
    struct limit limits[KEPT_LIMITS];
    struct component_info memory, storage;
    /* What the last image knows of the time stamp counter; scale 0: nothing. */
    uint64_t ticks_begin, ticks_begin_ns, ticks_scale;
};

#endif
