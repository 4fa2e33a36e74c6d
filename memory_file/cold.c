/* The registry of address spaces; see cold.h. */
#include "cold.h"

#include <errno.h>
#include <stdlib.h>

#include "clock.h"

static struct space **bucket_of(struct cold *cold, struct asid asid)
{
    return &cold->buckets[(asid.n / PARTS_MAX + asid.n % PARTS_MAX * 61) % SPACE_BUCKETS];
}

struct space *cold_find(struct cold *cold, struct asid asid)
{
    struct space *space = *bucket_of(cold, asid);
    while (space && space->asid.n != asid.n)
        space = space->next;
    return space;
}

/* The component's number, what was drawn at the start, and a counter that leaves the part's bits.
 */
static struct asid next_asid(struct cold *cold)
{
    return (struct asid){(uint64_t)cold->monitor.id.n << 48 | (uint64_t)cold->asid_base << 32 |
                         ++cold->counter * PARTS_MAX};
}

int cold_add(struct cold *cold, struct asid asid, uint64_t run_id, uint32_t replicas,
             struct space **out)
{
    if (cold->space_count >= SPACES_MAX)
        return ASH_LIMIT;
    if (asid.n && cold_find(cold, asid))
        return -EEXIST;
    while (!asid.n || cold_find(cold, asid))
        asid = next_asid(cold);
    struct space *space = calloc(1, sizeof *space);
    if (!space)
        return -ENOMEM;
    *space = (struct space){.asid = asid,
                            .run_id = run_id,
                            .replicas = replicas,
                            .next = *bucket_of(cold, asid),
                            .lonely_since_ms = clock_ms()};
    *bucket_of(cold, asid) = space;
    cold->space_count++;
    *out = space;
    return 0;
}

void cold_destroy(struct cold *cold, struct space *space)
{
    struct space **at = bucket_of(cold, space->asid);
    while (*at != space)
        at = &(*at)->next;
    *at = space->next;
    cold->space_count--;
    space_clear(space, &cold->blocks);
    space->gone = true;
    if (!space->connections)
        free(space);
}

struct space *cold_bind(struct cold *cold, struct asid asid, uint64_t run_id)
{
    struct space *space = cold_find(cold, asid);
    if (!space || space->run_id != run_id)
        return NULL;
    space->connections++;
    return space;
}

void cold_unbind(struct space *space)
{
    if (--space->connections)
        return;
    space->lonely_since_ms = clock_ms();
    if (space->gone)
        free(space);
}
