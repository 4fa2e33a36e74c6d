/*
 * Waiting for a run's first process as a shell would want it: signals, stops, events, the end.
 *
 * The process is this command's child, in the same session and process group, so the terminal's
 * own signals (Ctrl-C, Ctrl-\, Ctrl-Z) reach it by themselves; what somebody sends to this command
 * alone is handed on. A stop of the process stops this command with the same signal, so that the
 * shell sees the job stopped. This command is the reaper of what the process leaves behind.
 */
#ifndef ASHLAR_CLI_JOB_H
#define ASHLAR_CLI_JOB_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "net.h"

struct job {
    pid_t pid;             /* the first process */
    pid_t guardian;        /* a child that is none of the run's; 0 */
    struct net_conn *node; /* RUN_EVENTs come here; its end ends the run */
    const char *node_name;
    unsigned node_pid;
    sigset_t old_mask; /* the caller's, for the first process */
    int signal_fd;
    int terminal_fd; /* where this command was the foreground, -1 */

    int status; /* of the first process, as wait() gives it */
    bool ended;      /* it was reaped */
    bool node_lost, home_lost;
    uint64_t peak_resident_bytes; /* of the largest process that was waited for */
    uint64_t user_us, system_us;
};

/* Before the fork: takes the signals. */
int job_prepare(struct job *job) NET_CHECKED;
/* Until the first process has ended. */
void job_wait(struct job *job);
/* Prints the events that have come, without waiting. */
void job_print_events(struct job *job);
/* Ends and reaps what is left below this command; gives the terminal back. */
void job_finish(struct job *job);
/* The node did not answer: it was lost, and every process of the run with it. */
void job_lose_node(struct job *job);
/*
 * The exit code: the process's own, or 128 + the signal that ended it. Where the node or the home was
 * lost before the end of the run was known there, it is that loss that ended the run, as SIGKILL:
 * what a shell made of its children's sudden ends does not count.
 */
int job_exit_code(const struct job *job);

#endif
