/* Lines that robust lists go through; see contract/robust_list.h. */
#include <sys/uio.h>

#include "robust_list.h"
#include "segment.h"

/* A look at the lists of one process. */
struct look {
    const struct segment *segment;
    const struct sharer *sharer;
    uint64_t line;
    uint32_t count;
    uint64_t held;
};

static void seen(void *context, uint64_t address)
{
    struct look *k = context;
    uint64_t page = address >> LINE_SHIFT;
    for (const struct attachment *a = k->sharer->attachments; a; a = a->next_of_sharer) {
        if (a->segment != k->segment || page < a->first.n || page - a->first.n >= a->count)
            continue;
        uint64_t line = a->line + (page - a->first.n);
        if (line >= k->line && line - k->line < k->count)
            k->held |= 1ull << (line - k->line);
    }
}

static long read_process(int pid, const struct robust_piece *to, size_t to_count,
                         const struct robust_piece *from, size_t from_count)
{
    _Static_assert(sizeof *to == sizeof(struct iovec), "a piece is an iovec");
    return process_vm_readv(pid, (const struct iovec *)to, to_count, (const struct iovec *)from,
                            from_count, 0);
}

uint64_t segment_held(struct segments *s, const struct segment *g, uint64_t line, uint32_t count)
{
    struct look k = {.segment = g, .line = line, .count = count};
    s->looks++;
    for (struct attachment *a = g->attachments; a; a = a->next_of_segment) {
        k.sharer = a->sharer;
        if (a->sharer->looked_at == s->looks || !a->sharer->robust || a->sharer->process->pid <= 0)
            continue;
        a->sharer->looked_at = s->looks;
        struct robust_reader r = {
            .pid = a->sharer->process->pid, .read = read_process, .seen = seen, .context = &k};
        robust_walk(&r, a->sharer->robust);
    }
    return k.held;
}
