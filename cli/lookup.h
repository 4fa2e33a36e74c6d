/* Finding a program as execvp and the shells do. */
#ifndef ASHLAR_CLI_LOOKUP_H
#define ASHLAR_CLI_LOOKUP_H

#include <stddef.h>

/*
 * Writes the absolute path of `name`, looked for in PATH where it has no '/'. Returns 0, -ENOENT
 * (exit code 127), or what keeps it from being executed: -EACCES, -EISDIR, ... (126).
 */
int lookup_program(const char *name, const char *cwd, char *path, size_t size)
    __attribute__((warn_unused_result));

#endif
