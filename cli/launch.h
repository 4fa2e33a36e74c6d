/*
 * Starting a run's first process: asks the global managers where, opens the run at that node, and
 * executes ashlar-exec as a child of this command.
 */
#ifndef ASHLAR_CLI_LAUNCH_H
#define ASHLAR_CLI_LAUNCH_H

#include <signal.h>

#include "boot.h"
#include "rack.h"

struct launch {
    /* Asked for: */
    uint64_t excache_bytes; /* 0: the node's default */
    uint32_t replicas;      /* copies of the program's memory: 1 or 2 */
    enum boot_policy policy;
    uint32_t flags;         /* enum boot_flags */
    const char *trace_name; /* where BOOT_TRACE prints; NULL: standard error */
    const char *program;    /* absolute path */
    const char *cwd;
    char **argv;

    /* Found: */
    struct msg_place_reply place;
    struct net_conn *node; /* the run lives as long as this */
    uint64_t run_id;
    uint64_t granted_bytes; /* of ExCache, for each process */
    int stats_fd;           /* memfd of struct run_stats */
    pid_t pid;
};

/* Each says what went wrong. */
int launch_open(struct launch *launch, const struct rack *rack) NET_CHECKED;
/* Forks; the child has mask as its signal mask and lacks whatever this process has set up. */
int launch_start(struct launch *launch, const sigset_t *mask) NET_CHECKED;

#endif
