/*
 * Programs into the window: ELF files (ET_EXEC, static PIE, dynamic with its interpreter), scripts,
 * and the first stack.
 */
#ifndef ASHLAR_KERNEL_LOADER_H
#define ASHLAR_KERNEL_LOADER_H

#include "../entry/process.h"
#include "../files/files.h"

struct thread;

/* What is to run, after the scripts were followed. */
struct program {
    struct vnode_file file;        /* the ELF file */
    struct vnode_file interpreter; /* PT_INTERP's, where has_interpreter */
    struct file_head head, interpreter_head;
    bool has_interpreter;
};

/*
 * Looks at the file at `path` (absolute, vNode; `named`: by what path it was called) and, for
 * scripts, at the interpreters it names, and fills the arguments that scripts put in front. Nothing
 * is changed yet: this is where exec fails. Returns 0 or a negative errno: -ENOENT, -EACCES,
 * -ENOEXEC, -ELOOP (nested too deep), -ELIBBAD...
 */
struct arguments {
    const char **prefix; /* what replaces argv[0]: interpreter, its argument, script path */
    int prefix_count;    /* 0: argv stays as it is */
    char *text;          /* room for prefix texts */
    size_t text_size, text_used;
};
/* Where programs that are position-independent go, and up to 1 GiB above: a third of the window, as
   Linux takes two thirds of its own. */
#define PIE_BASE 0x155555554000ull

enum { SCRIPT_DEPTH = 5, PREFIX_MAX = 3 * SCRIPT_DEPTH };
int program_examine(const char *path, const char *named, struct program *program,
                    struct arguments *arguments) __attribute__((warn_unused_result));

/*
 * Maps it into the empty window, builds the stack, and points t->regs at its first instruction.
 * Dies where the home has no memory for it. argv and envp are monitor memory, NULL-terminated.
 */
void program_load(struct thread *t, const struct program *program, const char *named,
                  const char *const *argv, const char *const *envp);

#endif
