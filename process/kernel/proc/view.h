/*
 * What is looked at of a process to tell of it in /proc: this one, or another one that the same
 * ashlar-exec runs in, whose state is read from its memory (docs/decisions/0037).
 *
 * Of another process nothing is true but for the moment in which it was read, and a hostile one has
 * anything there: every address and length is bounded here before it is used, so what is made of a
 * view is some text, never a fault. Nothing is asked of that process, so one that is stopped is
 * read like any other, and who reads it waits for nobody.
 */
#ifndef ASHLAR_KERNEL_VIEW_H
#define ASHLAR_KERNEL_VIEW_H

#include "../entry/process.h"
#include "../excache/excache.h"
#include "../signals/signals.h"
#include "proc.h"

struct view;

/*
 * The process that a path of /proc names, its vmas as they are now. NULL: out of memory, or of
 * another process, which has ended, is no program of this system, runs in another build of
 * ashlar-exec, or may not be read by this one. `files`: the vmas' files are wanted as well, else
 * they are only told from NULL.
 */
struct view *view_open(struct process *own, const struct proc_name *name, bool files);
void view_close(struct view *v);
/* Whether another host process executes the ashlar-exec that this one does. */
bool view_is_ours(int pid);

/* Sorted and disjoint, within the window. */
uint32_t view_vmas(const struct view *v, const struct vma **vmas);
/* Lines with content of [first, end). */
void view_count(struct view *v, struct vpn first, struct vpn end, struct line_counts *out);
/* Its numbers: layout, brk_start, lines_most; none that a lock protects is to be relied upon. */
const struct mm *view_mm(const struct view *v);
/* Its signals, `blocked` those of the thread that the path names, or of the first one. */
struct signal_sets view_signals(struct view *v);
/* limits[KEPT_*]; where they are known, which in a process that begins to execute a program they
 * are not. */
bool view_knows_limits(const struct view *v);
void view_limits(const struct view *v, struct limit out[KEPT_LIMITS]);
/* Sets one of another process, limits[which]. -ESRCH: it has ended, or may not be written to;
   -EAGAIN: it executes a program just now, and what was set may be lost. */
int view_set_limit(const struct view *v, int which, struct limit to);
/* Bytes of the program's memory, as many as can be had: of another process those that are resident.
 */
size_t view_read(const struct view *v, void *to, uint64_t from, size_t size);

#endif
