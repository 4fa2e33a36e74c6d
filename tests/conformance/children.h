/* How a child ended, for the files of this folder. */
#ifndef ASHLAR_TESTS_CHILDREN_H
#define ASHLAR_TESTS_CHILDREN_H

#include "conformance.h"

/* A fork that is there: what is done to a child of no number would be done to every process. */
static inline pid_t must_fork(void)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0) {
        SHOW("fork: %s", strerrorname_np(errno));
        fflush(stdout);
        _exit(119);
    }
    return pid;
}

static inline int code_of(pid_t pid)
{
    int status = -1;
    if (waitpid(pid, &status, __WALL) != pid)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

#endif
