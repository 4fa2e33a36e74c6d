/* How a child ended, for the files of this folder. */
#ifndef ASHLAR_TESTS_CHILDREN_H
#define ASHLAR_TESTS_CHILDREN_H

#include "conformance.h"

static inline int code_of(pid_t pid)
{
    int status = -1;
    if (waitpid(pid, &status, __WALL) != pid)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

#endif
