/* See job.h. */
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"
#include "clock.h"

enum {
    LEFTOVER_MS = 2000, /* for processes that were killed to be gone */
    CONTINUE_MS = 100,  /* between this command and the process being continued by one signal */
};

int job_prepare(struct job *job)
{
    sigset_t taken;
    sigfillset(&taken);
    /* Faults of this command itself stay what they are. */
    const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        sigdelset(&taken, own[i]);
    sigprocmask(SIG_BLOCK, &taken, &job->old_mask);
    /* A caller that ignores SIGCHLD would have the children reaped unseen. */
    job->signal_fd = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
    if (job->signal_fd < 0)
        return -errno;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    job->terminal_fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (job->terminal_fd >= 0 && tcgetpgrp(job->terminal_fd) != getpgrp()) {
        close(job->terminal_fd);
        job->terminal_fd = -1;
    }
    return 0;
}

/* ---- signals ---- */

/* Signals from the terminal or the kernel have reached the process too; a sender's go on to it. */
static void take_signals(struct job *job)
{
    struct signalfd_siginfo info;
    while (read(job->signal_fd, &info, sizeof info) == sizeof info) {
        if (!job->ended && info.ssi_signo != SIGCHLD && info.ssi_code <= 0)
            kill(job->pid, (int)info.ssi_signo);
    }
}

/*
 * A shell continues the whole group, this command perhaps first. Whether the process has been
 * continued as well, which includes that it has been stopped again since.
 */
static bool await_continued(struct job *job)
{
    uint64_t until = clock_ms() + CONTINUE_MS;
    for (;;) {
        siginfo_t since = {};
        if (waitid(P_PID, (id_t)job->pid, &since,
                   WCONTINUED | WSTOPPED | WEXITED | WNOHANG | WNOWAIT) < 0 ||
            since.si_pid != 0)
            return true;
        uint64_t now = clock_ms();
        if (now >= until)
            return false;
        struct pollfd fds = {.fd = job->signal_fd, .events = POLLIN};
        (void)poll(&fds, 1, (int)(until - now));
        take_signals(job);
    }
}

/*
 * What continued this command is not passed on: the process was continued as well, or will be.
 * Passed on late it would undo the terminal's next SIGTSTP.
 */
static void drop_continue(void)
{
    const struct timespec now = {0};
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGCONT);
    while (sigtimedwait(&one, NULL, &now) > 0)
        ;
}

/* Stops this command as the process was stopped, until somebody continues it. */
static void stop_along(struct job *job, int signal)
{
    sigset_t one;
    struct sigaction action = {.sa_handler = SIG_DFL}, before;
    take_signals(job); /* the terminal's own SIGTSTP would stop it twice */
    sigemptyset(&one);
    sigaddset(&one, signal);
    sigaction(signal, signal == SIGSTOP ? NULL : &action, &before);
    kill(getpid(), signal);
    sigprocmask(SIG_UNBLOCK, &one, NULL); /* here it stops, unless that was SIGSTOP: before */
    sigprocmask(SIG_BLOCK, &one, NULL);
    if (signal != SIGSTOP)
        sigaction(signal, &before, NULL);
    drop_continue();
    if (!await_continued(job))
        kill(job->pid, SIGCONT);
}

/* ---- children ---- */

static uint64_t microseconds(const struct timeval *t)
{
    return (uint64_t)t->tv_sec * 1000000 + (uint64_t)t->tv_usec;
}

static void account(struct job *job, const struct rusage *usage)
{
    uint64_t resident = (uint64_t)usage->ru_maxrss * 1024;
    if (resident > job->peak_resident_bytes)
        job->peak_resident_bytes = resident;
    job->user_us += microseconds(&usage->ru_utime);
    job->system_us += microseconds(&usage->ru_stime);
}

/* Takes what children have to say. Returns whether the first process has ended. */
static bool reap(struct job *job)
{
    bool ended = false;
    for (;;) {
        int status;
        struct rusage usage;
        pid_t pid = wait4(-1, &status, WNOHANG | WUNTRACED, &usage);
        if (pid <= 0)
            return ended;
        if (WIFSTOPPED(status)) {
            if (pid == job->pid)
                stop_along(job, WSTOPSIG(status));
            continue;
        }
        if (pid == job->guardian) {
            job->guardian = 0;
            continue;
        }
        account(job, &usage);
        if (pid == job->pid) {
            job->status = status;
            job->ended = ended = true;
        }
    }
}

/* Kills every child but the guardian. Returns whether there was one. */
static bool kill_children(const struct job *job)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *list = fopen(path, "re");
    bool some = false;
    int pid;
    while (list && fscanf(list, "%d", &pid) == 1) {
        if (pid == job->guardian)
            continue;
        kill(pid, SIGKILL);
        some = true;
    }
    if (list)
        fclose(list);
    return some;
}

/* ---- events ---- */

void job_lose_node(struct job *job)
{
    if (job->node_lost)
        return;
    job->node_lost = true;
    cli_error("%s (process, pid %u) was lost; the program is ended", job->node_name, job->node_pid);
    if (!job->ended)
        kill(job->pid, SIGKILL);
}

static void take_event(struct job *job, int timeout_ms, bool *more)
{
    struct net_frame frame;
    int rc = net_receive(job->node, timeout_ms, &frame);
    *more = rc == 0;
    if (rc == ASH_TIMEOUT)
        return;
    struct msg_run_event event;
    if (rc < 0)
        job_lose_node(job);
    else if (frame.header.op == OP_RUN_EVENT &&
             msg_run_event_decode(&event, frame.payload, frame.header.length) == 0)
        cli_error("%s", event.text);
}

void job_print_events(struct job *job)
{
    bool more = !job->node_lost;
    while (more)
        take_event(job, 0, &more);
}

/* ---- the whole ---- */

void job_wait(struct job *job)
{
    for (;;) {
        struct pollfd fds[2] = {
            {.fd = job->signal_fd, .events = POLLIN},
            {.fd = job->node_lost ? -1 : net_conn_fd(job->node), .events = POLLIN},
        };
        if (reap(job))
            return;
        (void)poll(fds, 2, -1);
        take_signals(job);
        if (fds[1].revents)
            job_print_events(job);
    }
}

void job_finish(struct job *job)
{
    uint64_t until = clock_ms() + LEFTOVER_MS;
    while (kill_children(job) && clock_ms() < until) {
        struct pollfd fds = {.fd = job->signal_fd, .events = POLLIN};
        reap(job);
        /* A child that died since is a SIGCHLD here; the bound is for one that cannot die yet. */
        if (kill_children(job))
            (void)poll(&fds, 1, 50);
        take_signals(job);
    }
    reap(job);
    if (job->terminal_fd >= 0) {
        /* A shell that ran inside and was killed leaves its own group in the foreground. */
        if (tcgetpgrp(job->terminal_fd) != getpgrp())
            (void)tcsetpgrp(job->terminal_fd, getpgrp());
        close(job->terminal_fd);
    }
    close(job->signal_fd);
}

int job_exit_code(const struct job *job)
{
    if (job->node_lost || job->home_lost)
        return 128 + SIGKILL;
    return WIFSIGNALED(job->status) ? 128 + WTERMSIG(job->status) : WEXITSTATUS(job->status);
}
