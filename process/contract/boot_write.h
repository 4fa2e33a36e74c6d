/*
 * Lays out a boot description (boot.h) in memory: for the ashlar command, which starts a run, and
 * for ashlar-exec, which starts a program again at execve.
 *
 * Two passes over the same strings: boot_size() says how many bytes they need, boot_fill() writes
 * them. Freestanding: no libc, no allocation.
 */
#ifndef ASHLAR_PROCESS_BOOT_WRITE_H
#define ASHLAR_PROCESS_BOOT_WRITE_H

#include "boot.h"

struct boot_strings {
    const char *program; /* absolute path in the vNode */
    const char *named;   /* the path by which it was called: what a script gets to see */
    const char *cwd;
    const char *writable; /* directories, ':' between them */
    char *const *argv;    /* both ended by NULL */
    char *const *envp;
};

static inline uint64_t boot_text_size(const char *text)
{
    uint64_t size = 1;
    while (*text++)
        size++;
    return size;
}

/* Bytes of the whole description. */
static inline uint64_t boot_size(const struct boot_strings *s)
{
    uint64_t size = sizeof(struct boot);
    size += boot_text_size(s->program) + boot_text_size(s->named) + boot_text_size(s->cwd);
    size += boot_text_size(s->writable);
    for (char *const *a = s->argv; *a; a++)
        size += boot_text_size(*a);
    for (char *const *e = s->envp; *e; e++)
        size += boot_text_size(*e);
    return size;
}

static inline char *boot_put_text(char *at, const char *text)
{
    do
        *at++ = *text;
    while (*text++);
    return at;
}

/* Writes head and strings to out, which has boot_size() bytes, and fills magic, size and counts. */
static inline void boot_fill(void *out, const struct boot *head, const struct boot_strings *s)
{
    struct boot *boot = out;
    char *at = boot_put_text((char *)(boot + 1), s->program);
    at = boot_put_text(at, s->named);
    at = boot_put_text(at, s->cwd);
    at = boot_put_text(at, s->writable);
    uint32_t argc = 0, envc = 0;
    for (; s->argv[argc]; argc++)
        at = boot_put_text(at, s->argv[argc]);
    for (; s->envp[envc]; envc++)
        at = boot_put_text(at, s->envp[envc]);
    *boot = *head;
    boot->magic = BOOT_MAGIC;
    boot->size_bytes = (uint64_t)(at - (char *)out);
    boot->argc = argc;
    boot->envc = envc;
}

#endif
