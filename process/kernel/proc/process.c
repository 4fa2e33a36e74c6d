/* What /proc tells of a process besides its memory, made from the host's text. */
#include <linux/fcntl.h>

#include "../entry/process.h"
#include "../files/placeholder.h"
#include "../files/watch.h"
#include "../mm/mm.h"
#include "make.h"

enum { STRINGS_MOST = 1 << 26, LINE_KB = LINE_SIZE / 1024 };

/* ---- status ---- */

struct row {
    const char *name;
    uint64_t value;
    enum { KB, SET, COUNT } form;
};

static void put_row(struct text *x, const struct row *row)
{
    char digits[20];
    if (row->form == KB) {
        size_t start = x->size;
        text_puts(x, row->name);
        text_puts(x, "\t");
        size_t n = text_format(digits, sizeof digits, "%lu", row->value);
        text_pad(x, start, strlen(row->name) + 1 + (n < 8 ? 8 - n : 0));
        text_putf(x, "%s kB\n", digits);
    } else {
        text_putf(x, row->form == SET ? "%s\t%016lx\n" : "%s\t%lu\n", row->name, row->value);
    }
}

static void replace_rows(struct text *x, const struct text *host, const struct row *rows,
                         size_t count)
{
    const char *at = host->bytes, *end = at + host->size, *next;
    for (; at < end; at = next) {
        const struct row *row = NULL;
        next = at;
        while (next < end && *next++ != '\n') {
        }
        for (size_t i = 0; i < count; i++) {
            size_t n = strlen(rows[i].name);
            if ((size_t)(next - at) > n && !memcmp(at, rows[i].name, n))
                row = &rows[i];
        }
        if (row)
            put_row(x, row);
        else
            text_put(x, at, (size_t)(next - at));
    }
}

void proc_make_status(struct text *x, struct view *v, const struct text *host)
{
    struct proc_figures f;
    if (!v) { /* its descriptors' room is not the monitor's affair */
        static const struct row rows[] = {{"FDSize:", 256, COUNT}};
        replace_rows(x, host, rows, 1);
        return;
    }
    proc_measure(v, &f);
    struct signal_sets s = view_signals(v);
    const struct row rows[] = {
        {"FDSize:", 256, COUNT},
        {"VmPeak:", f.peak_lines * LINE_KB, KB},
        {"VmSize:", f.lines * LINE_KB, KB},
        {"VmLck:", f.locked * LINE_KB, KB},
        {"VmHWM:", f.peak_present * LINE_KB, KB},
        {"VmRSS:", f.present * LINE_KB, KB},
        {"RssAnon:", (f.present - f.file) * LINE_KB, KB},
        {"RssFile:", f.file * LINE_KB, KB},
        {"RssShmem:", 0, KB},
        {"VmData:", f.data * LINE_KB, KB},
        {"VmStk:", f.stack * LINE_KB, KB},
        {"VmExe:", f.code * LINE_KB, KB},
        {"VmLib:", f.other_code * LINE_KB, KB},
        {"VmPTE:", (f.lines + 511) / 512 * LINE_KB, KB},
        {"VmSwap:", 0, KB},
        {"SigBlk:", s.blocked, SET},
        {"SigIgn:", s.ignored, SET},
        {"SigCgt:", s.caught, SET},
    };
    replace_rows(x, host, rows, sizeof rows / sizeof *rows);
}

/* ---- stat, statm ---- */

void proc_make_stat(struct text *x, struct view *v, const struct text *host)
{
    struct proc_figures f;
    const char *at = host->bytes, *end = at + host->size, *head = end;
    const struct mm *m = view_mm(v);
    proc_measure(v, &f);
    struct signal_sets s = view_signals(v);
    while (head > at && head[-1] != ')')
        head--;
    text_put(x, at, (size_t)(head - at));
    at = head;
    for (int field = 3; at < end; field++) { /* numbered as in proc(5) */
        const char *next = at + 1;
        while (next < end && *next != ' ' && *next != '\n')
            next++;
        switch (field) {
        case 23:
            text_putf(x, " %lu", f.lines << LINE_SHIFT);
            break;
        case 24:
            text_putf(x, " %lu", f.present);
            break;
        case 26:
            text_putf(x, " %lu", f.code_start);
            break;
        case 27:
            text_putf(x, " %lu", f.code_end);
            break;
        case 28:
            text_putf(x, " %lu", m->layout.stack);
            break;
        case 32:
            text_putf(x, " %lu", s.blocked & 0x7fffffff);
            break;
        case 33:
            text_putf(x, " %lu", s.ignored & 0x7fffffff);
            break;
        case 34:
            text_putf(x, " %lu", s.caught & 0x7fffffff);
            break;
        case 47:
            text_putf(x, " %lu", m->brk_start);
            break;
        case 48:
            text_putf(x, " %lu", m->layout.arguments);
            break;
        case 49:
        case 50:
            text_putf(x, " %lu", m->layout.arguments_end);
            break;
        case 51:
            text_putf(x, " %lu", m->layout.environment_end);
            break;
        default:
            text_put(x, at, (size_t)(next - at));
        }
        at = next;
        if (at < end && *at == '\n')
            break;
    }
    text_puts(x, "\n");
}

void proc_make_statm(struct text *x, struct view *v)
{
    struct proc_figures f;
    proc_measure(v, &f);
    text_putf(x, "%lu %lu %lu %lu 0 %lu 0\n", f.lines, f.present, f.file, f.code, f.data + f.stack);
}

/* ---- limits ---- */

void proc_make_limits(struct text *x, const struct view *v, const struct text *host)
{
    static const char *const ours[KEPT_LIMITS] = {[KEPT_FSIZE] = "Max file size",
                                                  [KEPT_STACK] = "Max stack size",
                                                  [KEPT_DATA] = "Max data size",
                                                  [KEPT_NOFILE] = "Max open files",
                                                  [KEPT_AS] = "Max address space"};
    enum { SOFT = 26, HARD = 47, UNIT = 68 };
    const char *at = host->bytes, *end = at + host->size, *next;
    struct limit limits[KEPT_LIMITS];
    view_limits(v, limits);
    for (; at < end; at = next) {
        bool done = false;
        next = at;
        while (next < end && *next++ != '\n') {
        }
        for (int i = 0; i < KEPT_LIMITS; i++) {
            size_t start = x->size, n = strlen(ours[i]);
            if ((size_t)(next - at) <= UNIT || memcmp(at, ours[i], n))
                continue;
            text_puts(x, ours[i]);
            for (int j = 0; j < 2; j++) {
                uint64_t value = j ? limits[i].hard : limits[i].soft;
                text_pad(x, start, j ? HARD : SOFT);
                if (value == ~0ull)
                    text_puts(x, "unlimited");
                else
                    text_putf(x, "%lu", value);
            }
            text_pad(x, start, UNIT);
            text_put(x, at + UNIT, (size_t)(next - at) - UNIT);
            done = true;
        }
        if (!done)
            text_put(x, at, (size_t)(next - at));
    }
}

/* ---- strings of the first stack ---- */

/* Appends up to `size` bytes of the program's memory; false where it is not there. */
static bool put_memory(struct text *x, const struct view *v, uint64_t from, uint64_t size)
{
    if (size > STRINGS_MOST || !text_room(x, size))
        return false;
    size_t got = view_read(v, x->bytes + x->size, from, size);
    x->size += got;
    return got == size;
}

/*
 * A command line whose last NUL was overwritten goes on in the environment, to the first NUL: so
 * programs show a title of their own, as on Linux.
 */
bool proc_make_strings(struct text *x, const struct view *v, bool command)
{
    const struct mm_layout *l = &view_mm(v)->layout;
    uint64_t environment = l->environment_end - l->arguments_end;
    if (!command)
        return put_memory(x, v, l->arguments_end, environment);
    if (!put_memory(x, v, l->arguments, l->arguments_end - l->arguments))
        return false;
    if (!x->size || !x->bytes[x->size - 1])
        return true;
    for (size_t i = 0; i < x->size; i++) {
        if (!x->bytes[i]) {
            x->size = i;
            return true;
        }
    }
    size_t title = x->size;
    bool whole = put_memory(x, v, l->arguments_end, environment);
    while (title < x->size && x->bytes[title])
        title++;
    whole |= title < x->size;
    x->size = title;
    return whole;
}

/* ---- fdinfo ---- */

/* Whether it may be an inotify, which its flags then tell. */
static bool is_pipe(const char *path)
{
    char link[16] = "";
    host_call(__NR_readlink, path, link, sizeof link - 1);
    return text_begins(link, "pipe:");
}

void proc_make_fdinfo(struct text *x, const struct proc_name *name, const struct text *host)
{
    struct placeholder p;
    char path[64];
    text_format(path, sizeof path, "/proc/%d/fd/%d", name->pid, name->fd);
    long fd = host_call(__NR_open, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    bool ours = fd >= 0 && placeholder_read((int)fd, &p) == 1;
    bool pipe = is_pipe(path);
    if (fd >= 0)
        host_call(__NR_close, fd);
    const char *at = host->bytes, *end = at + host->size, *next;
    for (; at < end; at = next) {
        next = at;
        while (next < end && *next++ != '\n') {
        }
        if ((ours || pipe) && (size_t)(next - at) > 7 && !memcmp(at, "flags:\t", 7)) {
            uint64_t flags = 0;
            char octal[16];
            for (const char *c = at + 7; c < next && *c >= '0' && *c <= '7'; c++)
                flags = flags << 3 | (uint64_t)(*c - '0');
            if (ours)
                flags = (flags & (PLACEHOLDER_HOST_FLAGS | O_CLOEXEC)) | p.flags;
            else if ((flags & WATCH_MARK) == WATCH_MARK)
                flags &= ~(uint64_t)(WATCH_MARK | O_LARGEFILE);
            size_t n = sizeof octal - 1;
            octal[n] = 0;
            do
                octal[--n] = (char)('0' + (flags & 7));
            while (flags >>= 3);
            text_putf(x, "flags:\t0%s\n", octal + n);
        } else if (ours && (size_t)(next - at) > 5 && !memcmp(at, "ino:\t", 5)) {
            text_putf(x, "ino:\t%lu\n", (unsigned long)p.file.inode);
        } else {
            text_put(x, at, (size_t)(next - at));
        }
    }
}
