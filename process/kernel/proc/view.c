/*
 * Looking at this process, and at others; see view.h.
 *
 * ashlar-exec lies at the same addresses in every process, so the address of a variable here is
 * where another process has it, if its host executable is the same file. Nothing there is locked
 * while it is read: what has to fit together is read until two readings agree.
 */
#include <linux/time_types.h>
#include <linux/uio.h>
#include <asm/stat.h>

#include "../entry/process.h"
#include "../excache/lines.h"
#include "../host/host.h"
#include "../mm/uaccess.h"
#include "../mm/vmas.h"
#include "text.h"
#include "view.h"

enum {
    VMAS_BYTES = (VMA_MAX + 2) * sizeof(struct vma),
    LOOKS = 8,      /* at the vmas and their files, until they fit together */
    READINGS = 128, /* of the vmas, until two agree */
    RECORD_READINGS = 8,
    PAUSE_NS = 100000,      /* between readings, while somebody changes the vmas */
    PATIENCE_NS = 50000000, /* for that in all: who changes them may be stopped */
    THREAD_READINGS = 3,
    THREADS_MOST = 1 << 16,
    TABLES_READ = 512,     /* addresses of line tables that are read at once */
    TABLES_MOST = 1 << 14, /* line tables that are read at all: of 1 TiB where lines were touched */
    FILES_MOST = 1 << 26,  /* bytes of records; who maps more shows less */
};
#define NO_RECORD (~0ull)

struct view {
    int pid; /* another process: one of its threads, to read its memory by; 0: this process */
    int tid; /* the thread that was named */
    struct process *process;
    const struct mm *mm;
    struct vma *vmas;
    uint32_t vma_count;
    size_t vmas_bytes;
    struct reading *read; /* of another process */
};

/* Another process's state as it was read. */
struct reading {
    struct process process;
    struct mm mm;
    struct vma *vmas;           /* VMAS_BYTES; what was read before lies in the view */
    struct vma_file records[2]; /* two readings of one */
    struct text files;          /* those of the vmas, each as long as its path */
    uint64_t tables_first;      /* the vRegion of tables[0]; ~0: none was read */
    uint32_t *tables[TABLES_READ];
    uint64_t words_of; /* the vRegion of words[]; ~0: of none */
    uint32_t words[VREGION_LINES];
    uint32_t tables_left; /* how many more line tables are read */
    uint64_t until_ns;    /* changes are waited for until then */
};

/* ---- this process ---- */

static bool own_vmas(struct view *v)
{
    rwlock_read(&mm.lock);
    v->vmas_bytes = mm.vma_count * sizeof *v->vmas;
    v->vmas = host_alloc(v->vmas_bytes);
    v->vma_count = v->vmas ? mm.vma_count : 0;
    for (uint32_t i = 0; i < v->vma_count; i++) {
        v->vmas[i] = mm.vmas[i];
        vma_file_get(v->vmas[i].file);
    }
    rwlock_read_end(&mm.lock);
    return v->vmas;
}

/* ---- another one ---- */

static long read_memory(const struct view *v, uint64_t from, void *to, size_t size)
{
    const struct iovec local = {to, size}, remote = {(void *)from, size};
    return host_call(__NR_process_vm_readv, v->pid, &local, 1, &remote, 1, 0);
}

static bool take(const struct view *v, const void *from, void *to, size_t size)
{
    return read_memory(v, (uint64_t)from, to, size) == (long)size;
}

bool view_is_ours(int pid)
{
    char path[32];
    struct stat own, other;
    text_format(path, sizeof path, "/proc/%d/exe", pid);
    return host_call(__NR_stat, "/proc/self/exe", &own) == 0 &&
           host_call(__NR_stat, path, &other) == 0 && own.st_dev == other.st_dev &&
           own.st_ino == other.st_ino;
}

/* Leaves what is in order; returns how many. */
static uint32_t keep_sound(struct vma *vmas, uint32_t count)
{
    uint64_t at = vpn_of(WINDOW_START).n;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct vma *vma = &vmas[i];
        if (vma->first.n < at || vma->end.n <= vma->first.n || vma->end.n > vpn_of(WINDOW_END).n)
            continue;
        at = vma->end.n;
        vmas[kept++] = *vma;
    }
    return kept;
}

/* The vmas as they are now, into read->vmas. */
static bool read_vmas(struct view *v, uint32_t *count)
{
    if (!take(v, &mm, &v->read->mm, sizeof v->read->mm) || v->read->mm.vma_count > VMA_MAX)
        return false;
    *count = v->read->mm.vma_count;
    return !*count || take(v, v->read->mm.vmas, v->read->vmas, *count * sizeof *v->vmas);
}

/* A change that is under way shows a hole for a moment where a mapping is replaced, so who changes
   is waited for, and may need a CPU for that. Whether it was. */
static bool wait_for_change(const struct view *v)
{
    const struct __kernel_timespec pause = {.tv_nsec = PAUSE_NS};
    if (!v->read->mm.lock.writer || host_now_ns() > v->read->until_ns)
        return false;
    host_call(__NR_nanosleep, &pause, NULL);
    return true;
}

static bool settled_vmas(struct view *v)
{
    bool seen = false, same = false, waited = false;
    for (int i = 0; i < READINGS && (!same || waited); i += !waited) {
        struct vma *before = v->vmas;
        uint32_t count;
        if (!read_vmas(v, &count))
            return false;
        same =
            seen && count == v->vma_count && !memcmp(before, v->read->vmas, count * sizeof *before);
        seen = true;
        v->vmas = v->read->vmas;
        v->read->vmas = before;
        v->vma_count = count;
        waited = wait_for_change(v);
    }
    v->vma_count = keep_sound(v->vmas, v->vma_count);
    return true;
}

/* Appends the record of a file; where it lies in files, or NO_RECORD. */
static uint64_t read_file(struct view *v, const struct vma_file *from)
{
    struct vma_file *record = &v->read->records[0], *again = &v->read->records[1];
    for (int i = 0; i < RECORD_READINGS; i++) {
        if (!take(v, from, record, sizeof *record) || !take(v, from, again, sizeof *again) ||
            memcmp(record, again, sizeof *record))
            continue;
        uint64_t at = v->read->files.size;
        if (at > FILES_MOST)
            break;
        record->path[PATH_LIMIT - 1] = 0;
        text_put(&v->read->files, record,
                 (offsetof(struct vma_file, path) + strlen(record->path) + 8) & ~(size_t)7);
        return at;
    }
    return NO_RECORD;
}

/* Whether a file is mapped where the vma is, among `count` of read->vmas from *from on. */
static bool still_there(const struct view *v, uint32_t count, const struct vma *vma, uint32_t *from)
{
    const struct vma *now = v->read->vmas;
    while (*from < count && now[*from].end.n <= vma->first.n)
        ++*from;
    for (uint32_t i = *from; i < count && now[i].first.n < vma->end.n; i++)
        if (now[i].file == vma->file)
            return true;
    return false;
}

static bool all_there(const struct view *v, uint32_t count)
{
    uint32_t from = 0;
    for (uint32_t i = 0; i < v->vma_count; i++)
        if (v->vmas[i].file && !still_there(v, count, &v->vmas[i], &from))
            return false;
    return true;
}

/*
 * The files' records, in the place of their addresses. One may be freed, and its memory be used
 * anew, while it is read: so the vmas are read once more, and what is not mapped any longer is left
 * out; *whole is whether nothing was.
 */
static bool read_files(struct view *v, bool *whole)
{
    size_t size = (v->vma_count + 1) * sizeof(uint64_t);
    uint64_t *at = host_alloc(size);
    uint32_t kept = 0, from = 0, now;

    if (!at)
        return false;
    for (uint32_t i = 0; i < v->vma_count; i++) {
        const struct vma_file *file = v->vmas[i].file;
        bool again = i && file == v->vmas[i - 1].file;
        at[i] = !file ? NO_RECORD : again ? at[i - 1] : read_file(v, file);
    }
    /* Who moves the array while it is read hides some of it for a moment. */
    bool good = !v->read->files.failed;
    for (int i = 0; good && i < RECORD_READINGS; i += !wait_for_change(v)) {
        good = read_vmas(v, &now);
        now = good ? keep_sound(v->read->vmas, now) : 0;
        if (all_there(v, now))
            break;
    }
    *whole = true;
    for (uint32_t i = 0; good && i < v->vma_count; i++) {
        struct vma vma = v->vmas[i];
        if (vma.file && (at[i] == NO_RECORD || !still_there(v, now, &vma, &from))) {
            *whole = false;
            continue;
        }
        if (vma.file)
            vma.file = (struct vma_file *)(v->read->files.bytes + at[i]);
        v->vmas[kept++] = vma;
    }
    v->vma_count = kept;
    host_free(at, size);
    return good;
}

static bool read_all(struct view *v, bool files)
{
    bool good = true, whole = false;
    v->read->until_ns = host_now_ns() + PATIENCE_NS;
    for (int i = 0; i < LOOKS && good && !whole; i++) {
        v->read->files.size = 0;
        good = settled_vmas(v) && (!files || read_files(v, &whole));
        whole |= !files;
    }
    return good;
}

static bool look(struct view *v, const struct proc_name *name, bool files)
{
    struct reading *r = v->read = host_pages(sizeof *r);
    if (!r)
        return false;
    v->pid = v->tid; /* the first thread may have ended */
    v->process = &r->process;
    v->mm = &r->mm;
    v->vmas_bytes = VMAS_BYTES;
    v->vmas = host_pages(VMAS_BYTES);
    r->vmas = host_pages(VMAS_BYTES);
    r->tables_first = r->words_of = ~0ull;
    r->tables_left = TABLES_MOST;
    return v->vmas && r->vmas && view_is_ours(name->pid) && read_all(v, files) &&
           take(v, &first_process, &r->process, sizeof r->process);
}

/* ---- both ---- */

struct view *view_open(struct process *own, const struct proc_name *name, bool files)
{
    struct view *v = host_alloc(sizeof *v);
    if (!v)
        return NULL;
    v->tid = name->tid ? name->tid : name->pid;
    v->process = own;
    v->mm = &mm;
    if (name->pid == own->pid ? own_vmas(v) : look(v, name, files))
        return v;
    view_close(v);
    return NULL;
}

void view_close(struct view *v)
{
    struct reading *r = v->read;
    for (uint32_t i = 0; !r && i < v->vma_count; i++)
        vma_file_put(v->vmas[i].file);
    if (v->vmas)
        host_free(v->vmas, v->vmas_bytes);
    if (r && r->vmas)
        host_pages_free(r->vmas, VMAS_BYTES);
    if (r) {
        text_free(&r->files);
        host_pages_free(r, sizeof *r);
    }
    host_free(v, sizeof *v);
}

uint32_t view_vmas(const struct view *v, const struct vma **vmas)
{
    *vmas = v->vmas;
    return v->vma_count;
}

const struct mm *view_mm(const struct view *v)
{
    return v->mm;
}

/* Another process's line table of a vRegion, or NULL. */
static const uint32_t *read_table(struct reading *r, const struct view *v, uint64_t vregion)
{
    uint64_t first = vregion / TABLES_READ * TABLES_READ;
    if (r->tables_first != first) {
        r->tables_first = first;
        if (!take(v, line_table(first), r->tables, sizeof r->tables))
            memset(r->tables, 0, sizeof r->tables);
    }
    const uint32_t *table = r->tables[vregion - first];
    if (!table || r->words_of == vregion)
        return table ? r->words : NULL;
    r->words_of = ~0ull;
    if (!r->tables_left || !take(v, table, r->words, sizeof r->words))
        return NULL;
    r->tables_left--;
    r->words_of = vregion;
    return r->words;
}

void view_count(struct view *v, struct vpn first, struct vpn end, struct line_counts *out)
{
    *out = (struct line_counts){0};
    for (uint64_t n = first.n, next; n < end.n; n = next) {
        uint64_t vregion = n / VREGION_LINES;
        const uint32_t *words = v->read ? read_table(v->read, v, vregion)
                                        : __atomic_load_n(line_table(vregion), __ATOMIC_ACQUIRE);
        next = (vregion + 1) * VREGION_LINES;
        next = next < end.n ? next : end.n;
        if (words)
            excache_count(words + n % VREGION_LINES, next - n, out);
    }
}

/* ---- signals and limits ---- */

static uint64_t own_blocked(const struct view *v)
{
    struct process *p = v->process;
    uint64_t blocked = 0;
    mutex_lock(&p->threads_lock);
    for (struct thread *t = p->threads; t; t = t->next)
        if (t->tid == v->tid)
            blocked = __atomic_load_n(&t->sigmask, __ATOMIC_RELAXED);
    mutex_unlock(&p->threads_lock);
    return blocked;
}

/* Threads come and go while their list is followed. */
static uint64_t blocked_of(const struct view *v)
{
    for (int i = 0; i < THREAD_READINGS; i++) {
        struct thread t;
        bool more = take(v, &first_process.threads, &t.next, sizeof t.next);
        for (int n = 0; more && t.next && n < THREADS_MOST; n++) {
            more = take(v, t.next, &t, sizeof t);
            if (more && t.tid == v->tid)
                return t.sigmask;
        }
    }
    return 0;
}

struct signal_sets view_signals(struct view *v)
{
    struct signal_sets s = {0};
    if (!v->read) {
        s = signals_sets(v->process->actions);
        s.blocked = own_blocked(v);
        return s;
    }
    struct signal_actions *copy = host_alloc(signals_size());
    if (copy && take(v, v->process->actions, copy, signals_size()))
        s = signals_sets_of(copy);
    if (copy)
        host_free(copy, signals_size());
    s.blocked = blocked_of(v);
    return s;
}

bool view_knows_limits(const struct view *v)
{
    return v->process->pid != 0 && !v->process->executing; /* the number is set after them */
}

void view_limits(const struct view *v, struct limit out[KEPT_LIMITS])
{
    for (int i = 0; i < KEPT_LIMITS; i++) {
        out[i].soft = __atomic_load_n(&v->process->limits[i].soft, __ATOMIC_RELAXED);
        out[i].hard = __atomic_load_n(&v->process->limits[i].hard, __ATOMIC_RELAXED);
    }
}

static bool put(const struct view *v, void *to, void *from, size_t size)
{
    const struct iovec local = {from, size}, remote = {to, size};
    return host_call(__NR_process_vm_writev, v->pid, &local, 1, &remote, 1, 0) == (long)size;
}

int view_set_limit(const struct view *v, int which, struct limit to)
{
    bool executing;
    if (!v->read)
        return -ESRCH;
    if (!put(v, &first_process.limits[which], &to, sizeof to) ||
        !take(v, &first_process.executing, &executing, sizeof executing))
        return view_is_ours(v->pid) ? -EAGAIN : -ESRCH;
    return executing ? -EAGAIN : 0;
}

size_t view_read(const struct view *v, void *to, uint64_t from, size_t size)
{
    if (!v->read)
        return user_read_some(to, from, size);
    long got = read_memory(v, from, to, size);
    return got < 0 ? 0 : (size_t)got;
}
