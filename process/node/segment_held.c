/* Lines that robust lists go through; see contract/robust_list.h. */
#include <sys/uio.h>

#include "robust_list.h"
#include "segment.h"

enum { STEPS_MOST = 1 << 16 }; /* over the attachments of a process, in one look at its lists */

/* A look at the lists of one process. */
struct look {
    const struct segments *segments;
    const struct sharer *sharer;
    uint32_t steps;
};

static void seen(void *context, uint64_t address)
{
    struct look *k = context;
    uint64_t page = address >> LINE_SHIFT;
    for (const struct attachment *a = k->sharer->attachments; a && k->steps < STEPS_MOST;
         a = a->next_of_sharer, k->steps++) {
        if (page < a->first.n || page - a->first.n >= a->count)
            continue;
        struct resident *r = segment_resident(a->segment, a->line + (page - a->first.n));
        if (r)
            r->held = k->segments->shrinks;
    }
}

static long read_process(int pid, const struct robust_piece *to, size_t to_count,
                         const struct robust_piece *from, size_t from_count)
{
    _Static_assert(sizeof *to == sizeof(struct iovec), "a piece is an iovec");
    return process_vm_readv(pid, (const struct iovec *)to, to_count, (const struct iovec *)from,
                            from_count, 0);
}

void segment_mark_held(struct segments *s, const struct segment *g)
{
    s->looks++;
    for (const struct attachment *a = g->attachments; a; a = a->next_of_segment) {
        struct sharer *h = a->sharer;
        if (h->looked_at == s->looks || !h->robust || h->process->pid <= 0)
            continue;
        h->looked_at = s->looks;
        struct look k = {.segments = s, .sharer = h};
        struct robust_reader r = {
            .pid = h->process->pid, .read = read_process, .seen = seen, .context = &k};
        robust_walk(&r, h->robust);
    }
}
