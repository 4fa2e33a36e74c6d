/*
 * The node part of the process monitor: its state, and how its parts hang together.
 *
 * A run is what one `ashlar run` started: it belongs to that command's connection (its owner), and
 * ends with it. A seat is one end of a socketpair that a process of a run holds; on the other end
 * this daemon serves it. A process here is a seat: it exists from the moment its seat is given out
 * until that closes, which is what frees its memory, however the process ended.
 *
 * Locks, in the order in which they are taken: segments' (segment.h), a home's own, `lock`,
 * `homes_lock`. `lock` protects every list and every field marked so; it is held for short sections
 * only, never across a request to another component. A seat's fields without a remark are its
 * connection thread's own.
 */
#ifndef ASHLAR_PROCESS_NODE_H
#define ASHLAR_PROCESS_NODE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "budget.h"
#include "monitor.h"

struct home;
struct spares;
struct trails;
struct segments;
struct sharer;
struct store;
struct inotify;
struct members;

enum {
    RUN_EVENTS_MAX = 64,      /* texts a run may send its user: bounds what is queued unread */
    RUN_EVENT_TEXT_MAX = 512, /* bytes of one */
    RUN_PROCESSES_MAX = 960,  /* seats at a time: below the connections that one server takes */
    RUN_REPLICAS_MAX = 2,     /* copies of its memory */
    RUN_END_MS = 2000,        /* a run's processes are gone this long after they were killed */
};

struct run {
    struct run *next;       /* lock */
    struct net_conn *owner; /* lock; NULL when the command is gone */
    uint64_t id;            /* never changes, as the following */
    uint64_t excache_bytes; /* budget of each process */
    uint32_t replicas;      /* copies of its memory */
    struct component_info storage;
    char *writable;
    char name[NAME_LIMIT];
    struct component_info memory; /* lock: where new address spaces are made */
    uint64_t reserved_bytes;      /* lock: granted at RUN_OPEN, not yet taken by a first process */
    unsigned processes;           /* lock: seats that exist */
    unsigned events;              /* lock: sent so far */
    bool ending;                  /* lock: no new seats */
    bool lost;                    /* lock: with memory of it */
    bool unreached;               /* lock: its user was told that a component gives no connection */
};

struct process {
    struct process *next;   /* lock */
    struct run *run;        /* never changes; outlives the process */
    struct net_conn *conn;  /* lock; NULL until the server opened it */
    int seat_fd;            /* lock: the server's end, -1 once it is closed */
    int lifeline_fd;        /* lock: the write end, -1 once given up */
    int pidfd;              /* lock; -1 until it joined or started */
    pid_t pid;              /* lock; 0 until then */
    pid_t speaker;          /* who wrote the seat's first byte, by the host's word */
    uint64_t serial;        /* never changes */
    struct asid asid;       /* lock; 0 until it joined, or forked from one that had */
    struct asid parent;     /* lock; of the process that forked it; 0: none */
    struct home *home;      /* lock; where asid is now, a counted reference */
    uint64_t excache_bytes; /* lock: its budget */
    uint64_t started_ms;    /* lock: since the Unix epoch */
    char name[NAME_LIMIT];  /* lock */
    struct sharer *sharer;  /* segments' lock; NULL: it shares no memory */
    bool left;              /* lock: it ended, and will share none */
};

struct node {
    struct monitor *monitor;
    struct net_server *seats; /* the UNIX socket's server, which also serves the seats */
    pthread_mutex_t lock;
    pthread_cond_t emptied;     /* a process or a run went away */
    struct run *runs;           /* lock */
    struct process *processes;  /* lock; oldest first: a parent is killed before its children, and
                                   does not go on without them */
    struct budget budget;       /* lock */
    uint64_t last_serial;       /* lock */
    uint64_t last_run_id;       /* lock */
    uint64_t asked_total_bytes; /* --excache-total, 0: a quarter of the host's memory */
    pthread_mutex_t homes_lock;
    struct home *homes;          /* homes_lock */
    struct segments *segments;   /* never changes; has its own lock, taken before all of these */
    struct store *stores;        /* segments' lock */
    int ended_fd, ended_stop_fd; /* never change; see ended.h */
    struct spares *spares;       /* never changes */
    struct trails *trails;       /* never changes; has its own lock */
    struct inotify *inotify;     /* never changes; has its own lock */
    struct members *members;     /* never changes; has its own locks, taken last */
    pthread_t ended_thread;
};

#endif
