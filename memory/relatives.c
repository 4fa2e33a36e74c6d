/* See relatives.h. A live frame has one number, so equal entries of two tables are one line. */
#include "relatives.h"

#include "space_inside.h"

enum { SAMPLE_LINES = 64 };

struct sample {
    struct {
        uint32_t index, line, entry;
    } lines[SAMPLE_LINES];
    uint32_t count;
};

/* Each `step`th of the lines that have a frame; `passed` have been counted since the last one. */
static void sample_vregion(const struct space *space, const struct vregion_entry *entry,
                           uint32_t step, uint32_t *passed, struct sample *sample)
{
    uint32_t left = entry->vregion->lines.frames;
    for (uint32_t line = 0; line < VREGION_LINES && left && sample->count < SAMPLE_LINES; line++) {
        uint32_t frame = line_table_get(&entry->vregion->lines, space->frames, line);
        if (!line_has_frame(frame))
            continue;
        left--;
        if (++*passed < step)
            continue;
        *passed = 0;
        sample->lines[sample->count].index = entry->index;
        sample->lines[sample->count].line = line;
        sample->lines[sample->count++].entry = frame;
    }
}

static void take_sample(struct space *space, uint64_t lines, struct sample *sample)
{
    sample->count = 0;
    pthread_mutex_lock(&space->lock);
    uint32_t step = (uint32_t)(lines / SAMPLE_LINES) + 1, passed = 0;
    for (uint32_t i = 0; i < space->vregions.count; i++)
        if (space->vregions.entries[i].vregion)
            sample_vregion(space, &space->vregions.entries[i], step, &passed, sample);
    pthread_mutex_unlock(&space->lock);
}

static uint32_t count_common(struct space *space, const struct sample *sample)
{
    uint32_t common = 0;
    pthread_mutex_lock(&space->lock);
    for (uint32_t i = 0; i < sample->count; i++) {
        const struct vregion *vregion = vregion_at(&space->vregions, sample->lines[i].index);
        common += vregion && line_table_get(&vregion->lines, space->frames,
                                            sample->lines[i].line) == sample->lines[i].entry;
    }
    pthread_mutex_unlock(&space->lock);
    return common;
}

struct search {
    struct memory *memory;
    const struct space *space;
    struct component failed;
    struct sample sample;
    struct relative best;
    uint32_t most; /* lines of the sample in common with the best */
};

static void consider(void *arg, struct space *space)
{
    struct search *search = arg;
    struct space_place place;
    if (space == search->space || space->run_id != search->space->run_id ||
        space_place(space, &place) < 0 || !place_has_replica(&place) ||
        place.replica.n == search->failed.n ||
        peers_state(&search->memory->peers, place.replica) != PEER_UP)
        return;
    uint32_t common = count_common(space, &search->sample);
    if (common * 2 < search->sample.count || common <= search->most)
        return;
    if (search->best.space)
        space_put(search->best.space);
    space_ref(space);
    search->most = common;
    search->best =
        (struct relative){space, place.replica, 100 - common * 100 / search->sample.count};
}

struct relative relative_of(struct memory *memory, struct space *space, uint64_t lines,
                            struct component failed)
{
    struct search search = {.memory = memory, .space = space, .failed = failed};
    take_sample(space, lines, &search.sample);
    if (search.sample.count)
        spaces_each(&memory->spaces, consider, &search);
    return search.best;
}
