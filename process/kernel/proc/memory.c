/*
 * The program's memory in /proc: maps, smaps and their sums.
 *
 * A line counts as present ("Rss") where it has content, in the ExCache or at the home: the ExCache
 * is a cache, as the processor's own are, and mincore() tells what is in it.
 */
#include <linux/mman.h>

#include "../excache/excache.h"
#include "../mm/mm.h"
#include "make.h"

enum {
    NAME_COLUMN = 73,
    KB_COLUMN = 24,
    LINE_KB = LINE_SIZE / 1024,
    TEXT_MOST = 1 << 26, /* bytes of maps and smaps: another process may have any names */
};

static const char *name_of(const struct vma *v)
{
    return v->file                ? v->file->path
           : v->name == VMA_HEAP  ? "[heap]"
           : v->name == VMA_STACK ? "[stack]"
                                  : NULL;
}

static void put_name(struct text *x, const char *name)
{
    for (const char *end; (end = strchr(name, '\n')); name = end + 1) {
        text_put(x, name, (size_t)(end - name));
        text_puts(x, "\\012"); /* as Linux has it: a mapping is one line */
    }
    text_puts(x, name);
}

static void put_vma(struct text *x, const struct vma *v)
{
    size_t start = x->size;
    uint64_t device = v->file ? v->file->id.device : 0;
    text_putf(x, "%08lx-%08lx %c%c%c%c %08lx %02x:%02x %lu ", vpn_address(v->first),
              vpn_address(v->end), v->prot & PROT_READ ? 'r' : '-',
              v->prot & PROT_WRITE ? 'w' : '-', v->prot & PROT_EXEC ? 'x' : '-',
              vma_shared(v) ? 's' : 'p', v->file ? v->file_line << LINE_SHIFT : 0,
              (unsigned)(device >> 8 & 0xfff),
              (unsigned)((device & 0xff) | (device >> 12 & 0xffffff00)),
              v->file ? (unsigned long)v->file->id.inode : 0);
    if (name_of(v)) {
        text_pad(x, start, NAME_COLUMN);
        put_name(x, name_of(v));
    }
    text_puts(x, "\n");
}

struct counts {
    uint64_t lines, present, own, dirty;
};

static void count(struct view *view, const struct vma *v, struct counts *out)
{
    struct line_counts c;
    view_count(view, v->first, v->end, &c);
    *out = (struct counts){.lines = v->end.n - v->first.n,
                           .present = c.present,
                           .own = v->file ? c.own : c.present,
                           .dirty = v->file ? c.own : c.present};
}

static void put_counts(struct text *x, const struct counts *c, bool rollup)
{
    static const struct {
        const char *name;
        int which; /* 0: none */
    } rows[] = {
        {"Rss:", 1},
        {"Pss:", 1},
        {"Pss_Dirty:", 3},
        {"Pss_Anon:", -2},
        {"Pss_File:", -4},
        {"Pss_Shmem:", -9},
        {"Shared_Clean:", 0},
        {"Shared_Dirty:", 0},
        {"Private_Clean:", 4},
        {"Private_Dirty:", 3},
        {"Referenced:", 1},
        {"Anonymous:", 2},
        {"KSM:", 0},
        {"LazyFree:", 0},
        {"AnonHugePages:", 0},
        {"ShmemPmdMapped:", 0},
        {"FilePmdMapped:", 0},
        {"Shared_Hugetlb:", 0},
        {"Private_Hugetlb:", 0},
        {"Swap:", 0},
        {"SwapPss:", 0},
        {"Locked:", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int which = rows[i].which;
        if (which < 0 && !rollup)
            continue;
        which = which < 0 ? -which : which;
        uint64_t lines = which == 1   ? c->present
                         : which == 2 ? c->own
                         : which == 3 ? c->dirty
                         : which == 4 ? c->present - c->own
                                      : 0;
        text_kb(x, rows[i].name, KB_COLUMN, lines * LINE_KB);
    }
}

/* The number in hexadecimal that a line of maps begins with. */
static uint64_t address_of(const char *at, const char *end)
{
    uint64_t n = 0;
    for (; at < end; at++) {
        unsigned digit = *at >= '0' && *at <= '9'   ? (unsigned)(*at - '0')
                         : *at >= 'a' && *at <= 'f' ? (unsigned)(*at - 'a') + 10
                                                    : 16;
        if (digit > 15)
            break;
        n = n << 4 | digit;
    }
    return n;
}

/* The pages that the host gives to every process, by the name at the line's end. */
static bool is_given(const char *at, const char *end)
{
    static const char *const names[] = {"[vvar]\n", "[vvar_vclock]\n", "[vdso]\n", "[vsyscall]\n"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t n = strlen(names[i]);
        if ((size_t)(end - at) > n && !memcmp(end - n, names[i], n))
            return true;
    }
    return false;
}

/* Of a host's maps or smaps: what lies in the window, if wanted, and what every process has. */
static void put_host_lines(struct text *x, const struct text *host, bool window)
{
    const char *at = host->bytes, *end = at + host->size, *next;
    bool shown = false;
    for (; at < end; at = next) {
        next = at;
        while (next < end && *next != '\n')
            next++;
        next += next < end;
        if ((*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'f')) /* the head of a mapping */
            shown = (window && address_of(at, next) < WINDOW_END) || is_given(at, next);
        if (shown)
            text_put(x, at, (size_t)(next - at));
    }
}

void proc_make_maps(struct text *x, const struct view *view, const struct text *host)
{
    const struct vma *vmas;
    uint32_t n = view_vmas(view, &vmas);
    for (uint32_t i = 0; i < n && x->size < TEXT_MOST; i++)
        put_vma(x, &vmas[i]);
    put_host_lines(x, host, false);
}

void proc_make_smaps(struct text *x, struct view *view, const struct text *host)
{
    const struct vma *vmas;
    uint32_t n = view_vmas(view, &vmas);
    for (uint32_t i = 0; i < n && x->size < TEXT_MOST; i++) {
        const struct vma *v = &vmas[i];
        struct counts c;
        count(view, v, &c);
        put_vma(x, v);
        text_kb(x, "Size:", KB_COLUMN, c.lines * LINE_KB);
        text_kb(x, "KernelPageSize:", KB_COLUMN, LINE_KB);
        text_kb(x, "MMUPageSize:", KB_COLUMN, LINE_KB);
        put_counts(x, &c, false);
        text_puts(x, "THPeligible:           0\nVmFlags:");
        text_puts(x, v->prot & PROT_READ ? " rd" : "");
        text_puts(x, v->prot & PROT_WRITE ? " wr" : "");
        text_puts(x, v->prot & PROT_EXEC ? " ex" : "");
        text_puts(x, " mr mw me");
        text_puts(x, v->name == VMA_STACK ? " gd" : "");
        text_puts(x, v->prot & PROT_WRITE ? " ac \n" : " \n");
    }
    put_host_lines(x, host, false);
}

void proc_make_rollup(struct text *x, struct view *view)
{
    const struct vma *vmas;
    struct counts all = {0}, c;
    uint32_t n = view_vmas(view, &vmas);
    size_t start = x->size;
    if (n)
        text_putf(x, "%08lx-%08lx ---p 00000000 00:00 0 ", vpn_address(vmas[0].first),
                  vpn_address(vmas[n - 1].end));
    for (uint32_t i = 0; i < n; i++) {
        count(view, &vmas[i], &c);
        all.present += c.present;
        all.own += c.own;
        all.dirty += c.dirty;
    }
    text_pad(x, start, NAME_COLUMN);
    text_puts(x, "[rollup]\n");
    put_counts(x, &all, true);
}

void proc_measure(struct view *view, struct proc_figures *out)
{
    const struct vma *vmas;
    uint32_t n = view_vmas(view, &vmas);
    *out = (struct proc_figures){.peak_lines = view_mm(view)->lines_most};
    for (uint32_t i = 0; i < n; i++) {
        const struct vma *v = &vmas[i];
        struct counts c;
        count(view, v, &c);
        out->lines += c.lines;
        out->locked += v->flags & VMA_LOCKED ? c.lines : 0;
        out->present += c.present;
        out->file += c.present - c.own;
        if (v->prot & PROT_EXEC && !out->code_start) { /* the lowest: the program's own */
            out->code_start = vpn_address(v->first);
            out->code_end = vpn_address(v->end);
            out->code = c.lines;
        } else if (v->prot & PROT_EXEC && !(v->prot & PROT_WRITE)) {
            out->other_code += c.lines;
        } else if (v->prot & PROT_WRITE && v->file && out->code_start && !out->data_start) {
            out->data_start = vpn_address(v->first);
            out->data_end = vpn_address(v->end);
        }
        if (v->name == VMA_STACK)
            out->stack += c.lines;
        else if (v->prot & PROT_WRITE)
            out->data += c.lines;
    }
    uint64_t peak = __atomic_load_n(&view_mm(view)->present_most, __ATOMIC_RELAXED);
    out->peak_present = out->present > peak ? out->present : peak;
}

void proc_make_host_maps(struct text *x, const struct text *host)
{
    put_host_lines(x, host, true);
}
