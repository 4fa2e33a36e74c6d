/* What is to run: follows "#!" lines to an ELF file and checks that it can be loaded. */
#include <linux/elf.h>
#include <linux/fcntl.h>

#include "../entry/process.h"
#include "../entry/thread.h"
#include "../files/files.h"
#include "../host/host.h"
#include "elf_file.h"
#include "loader.h"

static const char *keep(struct arguments *a, const char *text)
{
    size_t size = strlen(text) + 1;
    if (size > a->text_size - a->text_used)
        return NULL;
    char *at = a->text + a->text_used;
    memcpy(at, text, size);
    a->text_used += size;
    return at;
}

/* Puts text in front of the arguments so far. */
static int prepend(struct arguments *a, const char *text)
{
    const char *kept = keep(a, text);
    if (!kept || a->prefix_count == PREFIX_MAX)
        return -E2BIG;
    memmove(a->prefix + 1, a->prefix, (size_t)a->prefix_count * sizeof *a->prefix);
    a->prefix[0] = kept;
    a->prefix_count++;
    return 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

enum { SCRIPT_LINE = 256 }; /* bytes that Linux looks at for the line's end */

/* Splits "#! interpreter argument" in place, as binfmt_script does. */
static int split_script(char *line, size_t size, char **interpreter, char **argument)
{
    size_t end = 2;
    while (end < size && line[end] != '\n' && line[end])
        end++;
    bool cut = end == size && size == SCRIPT_LINE;
    end -= cut; /* whose last byte is the end's */
    while (end > 2 && is_blank(line[end - 1]))
        end--;
    line[end] = 0;
    char *at = line + 2;
    while (is_blank(*at))
        at++;
    if (!*at)
        return -ENOEXEC;
    *interpreter = at;
    while (*at && !is_blank(*at))
        at++;
    if (cut && !*at)
        return -ENOEXEC; /* perhaps not the whole interpreter; a cut argument is taken, as is */
    *argument = NULL;
    if (*at) {
        *at++ = 0;
        while (is_blank(*at))
            at++;
        if (*at)
            *argument = at;
    }
    return 0;
}

int program_examine(const char *path, const char *named, struct program *program,
                    struct arguments *arguments)
{
    char line[SCRIPT_LINE + 1], absolute[PATH_LIMIT];
    const char *shown = named;

    for (int depth = 0; depth <= SCRIPT_DEPTH; depth++) {
        files_close_exec(
            &program->file); /* the script's, of which another file is the interpreter */
        int rc = files_open_exec(path, &program->file, &program->head);
        if (rc < 0)
            return rc;
        memset(line, 0, sizeof line);
        long n = files_read_head(&program->file, &program->head, 0, line, SCRIPT_LINE);
        if (n < 0)
            return (int)n;
        if (line[0] != '#' || line[1] != '!')
            return elf_examine(program);
        char *interpreter, *argument;
        rc = split_script(line, (size_t)n, &interpreter, &argument);
        if (rc < 0)
            return rc;
        /* argv[0] (the last interpreter's name, for a nested script) gives way to: interpreter, its
           argument, the script's path. */
        if (arguments->prefix_count)
            memmove(arguments->prefix, arguments->prefix + 1,
                    (size_t)--arguments->prefix_count * sizeof *arguments->prefix);
        rc = prepend(arguments, shown);
        if (rc == 0 && argument)
            rc = prepend(arguments, argument);
        if (rc == 0)
            rc = prepend(arguments, interpreter);
        if (rc < 0)
            return rc;
        shown = arguments->prefix[0];
        rc = files_absolute(current()->process->files, AT_FDCWD, shown, absolute);
        if (rc < 0)
            return rc;
        path = absolute;
    }
    return -ELOOP;
}
