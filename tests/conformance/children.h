/* Children and how they ended, for the files of this folder. */
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

/* Runs the given code in a child, and shows how that ended. */
#define IN_CHILD(...)                                                                              \
    do {                                                                                           \
        pid_t pid_ = must_fork();                                                                  \
        if (pid_ == 0) {                                                                           \
            __VA_ARGS__;                                                                           \
            fflush(stdout);                                                                        \
            _exit(0);                                                                              \
        }                                                                                          \
        SHOW("ended %d", code_of(pid_));                                                           \
    } while (0)

#endif
