/* See trail.h. Messages: PROCESS_TRAIL, not waited for; where there is none PROCESS_TRAIL_LEFT. */
#include "trail.h"

#include <linux/mman.h>

#include "../entry/thread.h"
#include "../files/files.h"
#include "../host/host.h"
#include "../mm/vregions.h"
#include "../rpc/node.h"
#include "excache.h"

enum {
    NOTED_MOST = 256,   /* lines: each is a message of its own, the first time */
    LEAST_BUDGET = 512, /* lines of an ExCache that is too small to fetch ahead */
    ROUNDS_MOST = 8,    /* fetches ahead for one file */
};

_Static_assert(NOTED_MOST <= TRAIL_RUNS_MAX, "what was noted can be told");

enum trail_state { TRAIL_NONE, TRAIL_ASKED, TRAIL_KNOWN, TRAIL_LEAVING };

static struct {
    uint32_t state;    /* enum trail_state; changed under lock, read without */
    struct mutex lock; /* of what follows; before process.node_lock */
    struct process *owner;
    struct trail_file program;
    uint32_t files_count, runs_count; /* runs_count: read without, as a hint */
    struct trail_file files[TRAIL_FILES_MAX];
    /* TRAIL_LEAVING: of one line each, as they were missed. */
    struct trail_run runs[TRAIL_RUNS_MAX];
    /* TRAIL_KNOWN: fetches ahead for each file so far; which files had lines fetched or missed; a
       file was missed that the trail does not have. */
    uint8_t rounds[TRAIL_FILES_MAX];
    bool met[TRAIL_FILES_MAX], strange;
} trail;

static uint32_t state(void)
{
    return __atomic_load_n(&trail.state, __ATOMIC_ACQUIRE);
}

static void set_state(enum trail_state to)
{
    __atomic_store_n(&trail.state, to, __ATOMIC_RELEASE);
}

void trail_begin(struct process *p, const struct file_attr *program)
{
    uint8_t body[sizeof(struct msg_process_trail)];
    struct msg_process_trail request = {
        .program = {.file = program->id, .version = file_version(program)}};
    if (!program->id.inode || excache_budget() < LEAST_BUDGET)
        return;
    trail.owner = p;
    trail.program = request.program;
    int size = msg_process_trail_encode(&request, body, sizeof body);
    if (size >= 0 && node_post(p, OP_PROCESS_TRAIL, body, (size_t)size) == 0)
        set_state(TRAIL_ASKED);
}

/* What the node says of lines and files is bounded as what a program could say. */
static bool makes_sense(const struct msg_process_trail_reply *reply)
{
    if (reply->files_count > TRAIL_FILES_MAX || reply->runs_count > TRAIL_RUNS_MAX)
        return false;
    for (uint32_t i = 0; i < reply->runs_count; i++)
        if (reply->runs[i].file >= reply->files_count)
            return false;
    return true;
}

/* Gets the answer to what trail_begin() asked. The lock is held. */
static void collect(void)
{
    uint8_t body[NODE_POSTED_MAX];
    struct msg_process_trail_reply reply;
    int fds[NODE_FDS_MAX], count;
    long rc = node_collect(trail.owner, body, sizeof body, fds, &count);
    if (rc >= 0)
        rc = msg_process_trail_reply_decode(&reply, body, (size_t)rc);
    if (rc < 0 || !makes_sense(&reply)) {
        set_state(TRAIL_NONE);
        return;
    }
    trail.files_count = reply.files_count;
    trail.runs_count = reply.runs_count;
    memcpy(trail.files, reply.files, reply.files_count * sizeof *trail.files);
    memcpy(trail.runs, reply.runs, reply.runs_count * sizeof *trail.runs);
    set_state(reply.runs_count ? TRAIL_KNOWN : TRAIL_LEAVING);
}

/* Whether that is the state; with the lock held if it is. */
static bool lock_if(enum trail_state wanted)
{
    uint32_t now = state();
    if (now != wanted && now != TRAIL_ASKED)
        return false;
    mutex_lock(&trail.lock);
    if (trail.state == TRAIL_ASKED)
        collect();
    if (trail.state == wanted)
        return true;
    mutex_unlock(&trail.lock);
    return false;
}

void trail_fork_child(void)
{
    trail.lock = (struct mutex){0};
    if (trail.state != TRAIL_KNOWN)
        trail.state = TRAIL_NONE;
    memset(trail.met, true, sizeof trail.met); /* whether it fits is the parent's to say */
}

/* ---- leaving one ---- */

static bool same_file(const struct trail_file *a, const struct vma_file *b)
{
    return a->file.inode == b->id.inode && a->file.device == b->id.device &&
           a->file.generation == b->id.generation && a->version == b->version;
}

static uint64_t line_of(const struct vma *vma, struct vpn page)
{
    return vma->file_line + (page.n - vma->first.n);
}

/* The file's place in the trail; TRAIL_FILES_MAX: it has none. The lock is held. */
static uint32_t find_file(const struct vma_file *file)
{
    uint32_t i = 0;
    while (i < trail.files_count && !same_file(&trail.files[i], file))
        i++;
    return i < trail.files_count ? i : TRAIL_FILES_MAX;
}

static uint32_t put_file(const struct vma_file *file)
{
    uint32_t i = find_file(file);
    if (i == TRAIL_FILES_MAX && trail.files_count < TRAIL_FILES_MAX) {
        i = trail.files_count++;
        trail.files[i] = (struct trail_file){.file = file->id, .version = file->version};
    }
    return i;
}

bool trail_note(const struct vma *vma, struct vpn page, bool write)
{
    uint64_t line = line_of(vma, page);
    if (line > UINT32_MAX || !lock_if(TRAIL_LEAVING))
        return false;
    uint32_t file = put_file(vma->file), n = trail.runs_count;
    bool noted = file < TRAIL_FILES_MAX && n < NOTED_MOST;
    if (noted) {
        trail.runs[n] = (struct trail_run){
            .file = (uint16_t)file, .written = write, .first = (uint32_t)line, .count = 1};
        __atomic_store_n(&trail.runs_count, n + 1, __ATOMIC_RELEASE);
    }
    mutex_unlock(&trail.lock);
    return noted;
}

void trail_note_write(const struct vma *vma, struct vpn page)
{
    if (!lock_if(TRAIL_LEAVING))
        return;
    uint32_t file = find_file(vma->file);
    for (uint32_t i = 0; i < trail.runs_count; i++)
        if (trail.runs[i].file == file && trail.runs[i].first == line_of(vma, page))
            trail.runs[i].written = 1;
    mutex_unlock(&trail.lock);
}

bool trail_complete(void)
{
    return state() == TRAIL_LEAVING &&
           __atomic_load_n(&trail.runs_count, __ATOMIC_ACQUIRE) == NOTED_MOST;
}

static bool before(const struct trail_run *a, const struct trail_run *b)
{
    return a->file != b->file ? a->file < b->file : a->first < b->first;
}

static void sort(void)
{
    for (uint32_t i = 1; i < trail.runs_count; i++) {
        struct trail_run run = trail.runs[i];
        uint32_t at = i;
        for (; at > 0 && before(&run, &trail.runs[at - 1]); at--)
            trail.runs[at] = trail.runs[at - 1];
        trail.runs[at] = run;
    }
}

/* Makes one run of neighbours. */
static void join(void)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < trail.runs_count; i++) {
        struct trail_run run = trail.runs[i], *last = n ? &trail.runs[n - 1] : NULL;
        bool same = last && last->file == run.file && last->written == run.written;
        uint32_t end = last ? last->first + last->count : 0;
        if (same && run.first <= end)
            last->count = run.first < end ? last->count : run.first + 1 - last->first;
        else
            trail.runs[n++] = run;
    }
    trail.runs_count = n;
}

/* Whether files have taken the place of those of the trail, as libraries do that are new versions.
 */
static bool misfits(void)
{
    for (uint32_t i = 0; i < trail.files_count; i++)
        if (!trail.met[i])
            return trail.strange;
    return false;
}

void trail_leave(struct process *p)
{
    uint8_t body[NODE_POSTED_MAX];
    struct msg_process_trail_left_reply reply;
    int fds[NODE_FDS_MAX], count = 0;
    if (p->vforked)
        return;
    if (lock_if(TRAIL_LEAVING)) {
        sort();
        join();
    } else if (lock_if(TRAIL_KNOWN)) {
        if (!misfits()) {
            mutex_unlock(&trail.lock);
            return;
        }
        trail.files_count = trail.runs_count = 0;
    } else {
        return;
    }
    struct msg_process_trail_left m = {.program = trail.program,
                                       .files = trail.files,
                                       .files_count = trail.files_count,
                                       .runs = trail.runs,
                                       .runs_count = trail.runs_count};
    set_state(TRAIL_NONE);
    long rc = msg_process_trail_left_encode(&m, body, sizeof body);
    mutex_unlock(&trail.lock);
    if (rc >= 0)
        rc = node_call(p, OP_PROCESS_TRAIL_LEFT, body, (size_t)rc, sizeof body, fds, &count);
    if (rc >= 0)
        rc = msg_process_trail_left_reply_decode(&reply, body, (size_t)rc);
    (void)rc; /* one that the node did not take is left again by the next start */
}

/* ---- following one ---- */

/* Appends the absent ones of a run's lines that a view has in the part of `near`. Returns how many
   there are then. */
static uint32_t append(const struct vma *v, const struct trail_run *run, struct vpn near,
                       struct trail_line *out, uint32_t n, uint32_t most)
{
    uint64_t from = run->first, to = from + run->count;
    uint64_t low = v->file_line, high = low + (v->end.n - v->first.n);
    from = from > low ? from : low;
    to = to < high ? to : high;
    for (uint64_t line = from; line < to && n < most; line++) {
        struct vpn page = {v->first.n + (line - low)};
        if (vregions_together(near, page) && !excache_has(page))
            out[n++] = (struct trail_line){page, run->written && v->prot & PROT_WRITE};
    }
    return n;
}

/* Whether this is the first fetch ahead of all. */
static bool is_first(void)
{
    for (uint32_t i = 0; i < trail.files_count; i++)
        if (trail.rounds[i])
            return false;
    return true;
}

uint32_t trail_ahead(const struct vma *vma, struct vpn page, struct trail_line *out, uint32_t most)
{
    uint32_t n = 0;
    if (!lock_if(TRAIL_KNOWN))
        return 0;
    uint32_t file = find_file(vma->file);
    if (file == TRAIL_FILES_MAX)
        trail.strange = true;
    else if (trail.rounds[file] < ROUNDS_MOST) {
        bool first = is_first();
        for (uint32_t i = 0; i < mm.vma_count; i++) {
            const struct vma *v = &mm.vmas[i];
            if (!v->file || vma_shared(v) || !(v->prot & (PROT_READ | PROT_WRITE | PROT_EXEC)))
                continue;
            uint32_t of = first ? find_file(v->file) : file;
            if (of >= TRAIL_FILES_MAX || !same_file(&trail.files[of], v->file))
                continue;
            trail.met[of] = true;
            for (uint32_t r = 0; r < trail.runs_count; r++)
                if (trail.runs[r].file == of)
                    n = append(v, &trail.runs[r], page, out, n, most);
        }
        trail.rounds[file] = n == most ? (uint8_t)(trail.rounds[file] + 1) : ROUNDS_MOST;
    }
    mutex_unlock(&trail.lock);
    return n;
}
