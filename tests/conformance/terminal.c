/* Terminals and groups of processes: who is stopped, who gets EIO, what an orphan is spared. */
#include "conformance.h"

#include <poll.h>
#include <pty.h>
#include <termios.h>

static int report; /* the end of a pipe: what the processes without a terminal of ours say */

#define TELL(...) dprintf(report, __VA_ARGS__)

static const char *error_or_ok(long rc)
{
    return rc < 0 ? strerrorname_np(errno) : "ok";
}

static const char *how(int status)
{
    static char text[64];
    if (WIFSTOPPED(status))
        snprintf(text, sizeof text, "stopped by SIG%s", sigabbrev_np(WSTOPSIG(status)));
    else if (WIFCONTINUED(status))
        snprintf(text, sizeof text, "continued");
    else if (WIFSIGNALED(status))
        snprintf(text, sizeof text, "ended by SIG%s", sigabbrev_np(WTERMSIG(status)));
    else
        snprintf(text, sizeof text, "exit %d", WEXITSTATUS(status));
    return text;
}

/* Runs `f` as the leader of a session that has a terminal, and prints what is told meanwhile. */
static void in_session(void (*f)(void))
{
    int ends[2], master, slave;
    char line[512];
    pipe(ends);
    openpty(&master, &slave, NULL, NULL, NULL);
    fflush(stdout);
    if (fork() == 0) {
        report = ends[1];
        close(ends[0]);
        close(master);
        login_tty(slave);
        signal(SIGHUP, SIG_IGN); /* of what it leaves behind */
        f();
        _exit(0);
    }
    close(ends[1]);
    close(slave);
    FILE *told = fdopen(ends[0], "r");
    while (fgets(line, sizeof line, told))
        fputs(line, stdout);
    wait(NULL);
}

/* A child in a group of its own, in the background. */
static pid_t background(void (*f)(void))
{
    pid_t pid = fork();
    setpgid(pid, 0);
    if (pid == 0) {
        f();
        _exit(7);
    }
    return pid;
}

static void reads(void)
{
    char byte;
    errno = 0;
    long n = read(0, &byte, 1);
    TELL("read: %s\n", error_or_ok(n));
}

static void writes(void)
{
    TELL("write: %s\n", error_or_ok(write(1, "", 0)));
    TELL("write: %s\n", error_or_ok(write(1, "x", 1)));
}

static void sets(void)
{
    struct termios t;
    TELL("get: %s\n", error_or_ok(tcgetattr(0, &t)));
    TELL("set: %s\n", error_or_ok(tcsetattr(0, TCSANOW, &t)));
    TELL("group: %s\n", error_or_ok(tcsetpgrp(0, getpgrp())));
}

static void stops_itself(void)
{
    raise(SIGTSTP);
    TELL("after SIGTSTP\n");
    raise(SIGTTIN);
    TELL("after SIGTTIN\n");
    raise(SIGTTOU);
    TELL("after SIGTTOU\n");
}

/* Each stop is told and gone on from; at the fourth the child is killed. */
static void watch(void (*f)(void))
{
    int status, stops = 0;
    pid_t pid = background(f);
    while (waitpid(pid, &status, WUNTRACED) == pid) {
        TELL("%s\n", how(status));
        if (WIFSTOPPED(status))
            kill(pid, ++stops > 3 ? SIGKILL : SIGCONT);
    }
}

static void tostop(void)
{
    struct termios t;
    tcgetattr(0, &t);
    t.c_lflag |= TOSTOP;
    tcsetattr(0, TCSANOW, &t);
}

static void background_reads(void)
{
    watch(reads);
}

static void background_writes(void)
{
    watch(writes);
    tostop();
    watch(writes);
}

static void background_sets(void)
{
    watch(sets);
}

static void background_stops(void)
{
    watch(stops_itself);
}

CASE(background, reads)
{
    in_session(background_reads);
}

CASE(background, writes)
{
    in_session(background_writes);
}

CASE(background, sets)
{
    in_session(background_sets);
}

CASE(background, stops)
{
    in_session(background_stops);
}

static void ignoring(void)
{
    signal(SIGTTIN, SIG_IGN);
    reads();
    signal(SIGTTOU, SIG_IGN);
    sets();
}

static void blocking(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTTIN);
    sigaddset(&set, SIGTTOU);
    sigprocmask(SIG_BLOCK, &set, NULL);
    reads();
    sets();
}

static void caught(int number)
{
    TELL("caught SIG%s\n", sigabbrev_np(number));
    signal(number, SIG_IGN);
}

static void catching(void)
{
    struct sigaction a = {.sa_handler = caught, .sa_flags = SA_RESTART};
    sigaction(SIGTTIN, &a, NULL);
    reads();
    a.sa_flags = 0;
    sigaction(SIGTTIN, &a, NULL);
    reads();
    sigaction(SIGTTOU, &a, NULL);
    sets();
}

static void background_dispositions(void)
{
    watch(ignoring);
    watch(blocking);
    watch(catching);
}

CASE(background, dispositions)
{
    in_session(background_dispositions);
}

/* The same of a group that nobody looks after: its only parent in the session is gone. */
static void orphan(void (*f)(void))
{
    int done[2];
    char byte;
    pipe(done);
    if (fork() == 0) {
        int parent = (int)syscall(SYS_pidfd_open, getpid(), 0);
        pid_t pid = fork();
        setpgid(pid, 0);
        if (pid == 0) {
            signal(SIGHUP, SIG_IGN);
            poll(&(struct pollfd){parent, POLLIN}, 1, -1); /* until it has ended */
            f();
        }
        _exit(0);
    }
    close(done[1]);
    read(done[0], &byte, 1); /* until all of them are gone */
    close(done[0]);
    wait(NULL);
}

static void orphan_reads(void)
{
    orphan(reads);
}

static void orphan_writes(void)
{
    tostop();
    orphan(writes);
}

static void orphan_sets(void)
{
    orphan(sets);
}

static void orphan_stops(void)
{
    orphan(stops_itself);
}

static void orphan_dispositions(void)
{
    orphan(ignoring);
    orphan(blocking);
    orphan(catching);
}

CASE(orphan, reads)
{
    in_session(orphan_reads);
}

CASE(orphan, writes)
{
    in_session(orphan_writes);
}

CASE(orphan, sets)
{
    in_session(orphan_sets);
}

CASE(orphan, stops)
{
    in_session(orphan_stops);
}

CASE(orphan, dispositions)
{
    in_session(orphan_dispositions);
}

/* A group that is stopped and becomes an orphan is hung up and goes on. */
static void says_why(int number)
{
    TELL("SIG%s\n", sigabbrev_np(number));
}

static void stopped_when_orphaned(void)
{
    int ends[2], status;
    char byte;
    pipe(ends);
    if (fork() == 0) {
        pid_t pid = fork();
        setpgid(pid, 0);
        if (pid == 0) {
            struct sigaction a = {.sa_handler = says_why};
            sigaction(SIGHUP, &a, NULL);
            raise(SIGSTOP);
            TELL("goes on\n");
            _exit(0);
        }
        waitpid(pid, &status, WUNTRACED);
        TELL("%s\n", how(status));
        _exit(0);
    }
    close(ends[1]);
    read(ends[0], &byte, 1); /* until all of them are gone */
    wait(NULL);
}

CASE(orphan, was_stopped)
{
    in_session(stopped_when_orphaned);
}
