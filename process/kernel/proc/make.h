/* The makers of the texts: each appends to `x`. */
#ifndef ASHLAR_KERNEL_PROC_MAKE_H
#define ASHLAR_KERNEL_PROC_MAKE_H

#include "proc.h"
#include "text.h"
#include "view.h"

/* What the program's memory amounts to. */
struct proc_figures {
    uint64_t lines;                 /* of all vmas */
    uint64_t present, file, locked; /* lines with content, wherever they lie; files' among them */
    uint64_t code, other_code;      /* executable: the program's, and the rest */
    uint64_t data, stack;           /* private and writable; the stack */
    uint64_t code_start, code_end;  /* addresses */
    uint64_t data_start, data_end;  /* of what a file gives of it */
    uint64_t peak_lines, peak_present; /* the most that there were of either */
};

/* memory.c; the vdso and its kin from the host's text. */
void proc_measure(struct view *v, struct proc_figures *out);
void proc_make_maps(struct text *x, const struct view *v, const struct text *host);
void proc_make_smaps(struct text *x, struct view *v, const struct text *host);
void proc_make_rollup(struct text *x, struct view *v);
/* The host's lines in `host` that lie in the app window: where there is no view. */
void proc_make_host_maps(struct text *x, const struct text *host);

/* process.c: from the host's text */
void proc_make_status(struct text *x, struct view *v, const struct text *host);
void proc_make_stat(struct text *x, struct view *v, const struct text *host);
void proc_make_statm(struct text *x, struct view *v);
void proc_make_limits(struct text *x, const struct view *v, const struct text *host);
/* A range of the program's memory, with the rules of its command line or not. False: not all of it
   can be had. */
bool proc_make_strings(struct text *x, const struct view *v, bool command);
void proc_make_fdinfo(struct text *x, const struct proc_name *name, const struct text *host);

/* machine.c */
void proc_make_meminfo(struct text *x);

#endif
