/* See vregions.h. */
#include "vregions.h"

#include "../entry/thread.h"
#include "../host/host.h"
#include "../rpc/rpc.h"
#include "../rpc/rpc_pool.h"
#include "../syscalls/trace.h"

enum { RUNS_MAX = 16 };

/* By index: 1 + the part, 0: not granted. Written under mm.ops_lock, read without. */
static uint8_t *parts;

void vregions_init(void)
{
    parts = host_alloc(VREGION_COUNT);
    host_assert(parts);
}

/* The lines of [first, end) that lie in vRegions [at, at + count). */
static uint64_t lines_within(struct vpn first, struct vpn end, uint64_t at, uint64_t count)
{
    uint64_t low = at * VREGION_LINES, high = (at + count) * VREGION_LINES;
    low = low < first.n ? first.n : low;
    high = high > end.n ? end.n : high;
    return high - low;
}

static const char *name_of(const struct msg_vregion_grant_reply *reply, uint16_t part)
{
    for (uint32_t i = 0; i < reply->parts_count; i++)
        if (reply->parts[i].part == part)
            return reply->parts[i].name;
    return "?";
}

/* The steps of an allocation, as the home tells them, and where each run of vRegions lies. */
static void trace_grant(const struct msg_vregion_grant_reply *reply, uint64_t ns)
{
    struct thread *t = current();
    const char *home = t->process->memory.name;
    trace_allocation(
        t, "%u vRegions, the first is %u: asked of the home %s (1)%s%s; answered (6) <%lu.%lu us>",
        reply->vregions_count, reply->vregions[0].index, home,
        reply->asked ? "; it asked the GMM (2), which chose another (3)" : "",
        reply->told ? "; it told that (4), which made room (5)" : "", ns / 1000, ns / 100 % 10);
    for (uint32_t i = 0, run; i < reply->vregions_count; i += run) {
        const struct vregion_info *v = &reply->vregions[i];
        run = 1;
        while (i + run < reply->vregions_count && v[run].part == v->part &&
               v[run].index == v->index + run)
            run++;
        trace_allocation(t, "  %lx to %lx: part %u, at %s", (uint64_t)v->index << VREGION_SHIFT,
                         (uint64_t)(v->index + run) << VREGION_SHIFT, v->part,
                         name_of(reply, v->part));
    }
}

/* What one VREGION_GRANT is to ask for. */
struct grant {
    struct vregion_run runs[RUNS_MAX];
    uint32_t runs_count, count; /* vRegions in all of them */
};

/* Takes over what the home says of them; *at vRegions were said before. */
static int take_over(const struct msg_vregion_grant_reply *reply, const struct vregion_run *run,
                     uint32_t *at)
{
    for (uint32_t i = 0; i < run->count; i++) {
        const struct vregion_info *v = &reply->vregions[(*at)++];
        if (v->index != run->first + i || v->part >= PARTS_MAX)
            return ASH_MALFORMED;
        rpc_part_at(v->part, v->owner);
        __atomic_store_n(&parts[v->index], (uint8_t)(v->part + 1), __ATOMIC_RELEASE);
    }
    return 0;
}

/* Asks for what was collected. */
static int ask(struct grant *g)
{
    struct rpc rpc;
    struct msg_vregion_grant request = {
        .asid = mm.asid, .runs = g->runs, .runs_count = g->runs_count};
    struct msg_vregion_grant_reply reply;
    if (!g->runs_count)
        return 0;
    uint64_t since = host_ticks_ns();
    int rc = RPC_CALL(&rpc, MEMORY, VREGION_GRANT, vregion_grant, &request, &reply);
    if (rc == 0 && reply.vregions_count != g->count)
        rc = ASH_MALFORMED;
    for (uint32_t i = 0, at = 0; rc == 0 && i < g->runs_count; i++)
        rc = take_over(&reply, &g->runs[i], &at);
    if (rc == 0 && trace_allocates(current()->process))
        trace_grant(&reply, host_ticks_ns() - since);
    rpc_end(&rpc);
    g->runs_count = g->count = 0;
    return rc;
}

/* Whether another range that is collected has it already. */
static bool is_collected(const struct grant *g, uint32_t index)
{
    for (uint32_t i = 0; i < g->runs_count; i++)
        if (index - g->runs[i].first < g->runs[i].count)
            return true;
    return false;
}

/* Adds what is new of a range, and asks where there is no room for more. */
static int collect(struct grant *g, const struct vregion_need *need)
{
    const struct vpn first = need->first, end = need->end;
    uint32_t at = (uint32_t)(first.n / VREGION_LINES);
    uint32_t last = (uint32_t)((end.n - 1) / VREGION_LINES);
    int rc = 0;
    while (at <= last && rc == 0) {
        uint64_t lines = lines_within(first, end, at, 1);
        uint32_t run = 0, most = GRANT_MAX - g->count;
        /* What a run asks for has an equal share in each of its vRegions. */
        while (at + run <= last && run < most && !parts[at + run] && !is_collected(g, at + run) &&
               lines_within(first, end, at + run, 1) == lines)
            run++;
        if (run) {
            g->runs[g->runs_count++] = (struct vregion_run){
                at, run, need->writable ? lines_within(first, end, at, run) : 0};
            g->count += run;
        }
        if (g->runs_count == RUNS_MAX || g->count == GRANT_MAX)
            rc = ask(g);
        at += run ? run : 1;
    }
    return rc;
}

int vregions_grant(const struct vregion_need *needs, uint32_t count)
{
    struct grant g = {0};
    int rc = 0;
    for (uint32_t i = 0; i < count && rc == 0; i++)
        rc = collect(&g, &needs[i]);
    return rc < 0 ? rc : ask(&g);
}

uint32_t vregions_part(struct vpn page)
{
    uint8_t part = __atomic_load_n(&parts[page.n / VREGION_LINES], __ATOMIC_ACQUIRE);
    host_assert(part);
    return part - 1u;
}

bool vregions_together(struct vpn a, struct vpn b)
{
    uint64_t i = a.n / VREGION_LINES, j = b.n / VREGION_LINES;
    uint8_t part = __atomic_load_n(&parts[i], __ATOMIC_ACQUIRE);
    return i == j || (part && part == __atomic_load_n(&parts[j], __ATOMIC_ACQUIRE));
}

uint64_t vregions_run(struct vpn page, uint64_t most)
{
    uint32_t part = vregions_part(page);
    uint64_t run = VREGION_LINES - page.n % VREGION_LINES;
    while (run < most && vregions_part((struct vpn){page.n + run}) == part)
        run += VREGION_LINES;
    return run < most ? run : most;
}
