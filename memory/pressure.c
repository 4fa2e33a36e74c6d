/*
 * See pressure.h. What is done, each only where the one before it was in vain:
 *
 *   1  below 1/8 of the frames: the largest part that another component has room for moves there
 *   2  somebody waits for frames: of what has two copies the one here is given up, replicas first;
 *      where that is the primary, its replica takes the place
 *   3  and has for a second: the run that holds the most frames here, by its primaries, is ended;
 *      its node is told, kills its processes and frees their memory
 *
 * Frames come back without a lock and without an event, so who waits for them looks again.
 */
#include "pressure.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "replicator.h"

enum {
    RELIEF_SHARE = 8, /* below 1/8 of the frames left, a part moves, */
    SMALL_SHARE = 64, /* one that has more than 1/64 of them */
    LOOK_MS = 5,      /* between two looks at whether there are frames */
    FULL_MS = 10000,  /* after a replica was given up here: no new one is made, */
    FULL_SHARE = 2,   /* unless half of the frames are free by then */
    CALM_MS = 1000,   /* between two looks at who has room, while nobody waits */
    SHORT_MS = 1000,  /* that frames are waited for before a run is ended */
    ENDING_MS = 2000, /* for the memory of a run that was ended to be free */
    VICTIMS_MAX = 3,  /* runs that are tried, the largest first */
};

/* ---- who waits ---- */

int pressure_await(struct memory *memory, struct space *space, const struct line_ref *lines,
                   uint32_t count, const uint8_t *data, uint64_t deadline_ms)
{
    struct pressure *pressure = &memory->pressure;
    struct space_place place;
    if (frames_available(&memory->frames) >= count)
        return 0;
    uint32_t wanted = space_frames_wanted(space, lines, count, data);
    if (frames_available(&memory->frames) >= wanted)
        return 0;
    int rc = 0;
    uint64_t began_ms = clock_ms();
    atomic_store_explicit(&pressure->waiting_run, space->run_id, memory_order_relaxed);
    atomic_fetch_add_explicit(&pressure->wanted, wanted, memory_order_relaxed);
    memory_wake_replicator(memory);
    while (rc == 0 && frames_available(&memory->frames) < wanted) {
        nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000l}, NULL);
        rc = space_place(space, &place);
        if (rc == 0 && place.role != ROLE_PRIMARY)
            rc = ASH_MOVED;
        bool in_vain = atomic_load_explicit(&pressure->in_vain_ms, memory_order_relaxed) > began_ms;
        if (rc == 0 && (in_vain || clock_ms() >= deadline_ms))
            rc = ASH_NO_FRAMES;
    }
    atomic_fetch_sub_explicit(&pressure->wanted, wanted, memory_order_relaxed);
    return rc;
}

static bool is_short(struct memory *memory)
{
    uint32_t wanted = atomic_load_explicit(&memory->pressure.wanted, memory_order_relaxed);
    return wanted && frames_available(&memory->frames) < wanted;
}

/* ---- 1: a part moves ---- */

struct relief {
    struct memory *memory;
    struct space *space; /* the largest that is wanted; a reference is held */
    uint64_t bytes;
};

static void take_larger(struct relief *relief, struct space *space, uint64_t bytes)
{
    if (relief->space)
        space_put(relief->space);
    space_ref(space);
    relief->space = space;
    relief->bytes = bytes;
}

/* Whether others have room for it, so that they have more left than there is here. */
static bool fits_elsewhere(struct memory *memory, const struct space_place *place, uint64_t bytes)
{
    struct component to = peers_choose(&memory->peers, place->replica, true);
    uint64_t left = (uint64_t)frames_available(&memory->frames) * LINE_SIZE;
    return to.n && peers_room(&memory->peers, to) > bytes + bytes / 4 + left;
}

static void consider_part(void *arg, struct space *space)
{
    struct relief *relief = arg;
    struct space_place place;
    struct msg_space_stat_reply stat;
    if (space_place(space, &place) == 0 && place.role == ROLE_PRIMARY && !place.doubtful_ms &&
        space_stat(space, &stat) == 0 && stat.bytes > relief->bytes &&
        fits_elsewhere(relief->memory, &place, stat.bytes))
        take_larger(relief, space, stat.bytes);
}

/* Its primary hears of it: say_dropped() in replicator.c. */
static bool give_up_replica(struct memory *memory, struct space *space)
{
    struct space_place place;
    if (space_place(space, &place) < 0 || !space_forget_replica(space, &place))
        return false;
    space_end(space, ASH_NO_SPACE_ID);
    memory_wake_replicator(memory);
    return true;
}

/* To where it has, or gets, its replica; and what it leaves here goes. */
static bool move_away(struct memory *memory, struct space *space)
{
    bool moved = replicator_move_part(memory, space);
    if (moved)
        (void)give_up_replica(memory, space);
    return moved;
}

static bool move_largest(struct memory *memory)
{
    struct relief relief = {.memory = memory,
                            .bytes = (uint64_t)memory->frames.size / SMALL_SHARE * LINE_SIZE};
    spaces_each(&memory->spaces, consider_part, &relief);
    if (!relief.space)
        return false;
    monitor_log("few frames are left: %llx, %llu bytes, moves",
                (unsigned long long)relief.space->asid.n, (unsigned long long)relief.bytes);
    bool moved = move_away(memory, relief.space);
    space_put(relief.space);
    return moved;
}

/* ---- 2: a copy goes ---- */

static void consider_copy(struct relief *relief, struct space *space, enum space_role role)
{
    struct space_place place;
    struct msg_space_stat_reply stat;
    if (space_place(space, &place) == 0 && place.role == role &&
        (role == ROLE_REPLICA || (place.replica.n && !place.doubtful_ms)) &&
        space_stat(space, &stat) == 0 && stat.bytes > relief->bytes)
        take_larger(relief, space, stat.bytes);
}

static void consider_replica(void *arg, struct space *space)
{
    consider_copy(arg, space, ROLE_REPLICA);
}

static void consider_primary(void *arg, struct space *space)
{
    consider_copy(arg, space, ROLE_PRIMARY);
}

/* The largest replica, whose primary is elsewhere; or the largest primary, whose replica is, and
   takes its place. */
static bool drop_largest(struct memory *memory)
{
    struct relief relief = {.memory = memory};
    spaces_each(&memory->spaces, consider_replica, &relief);
    bool replica = relief.space;
    if (!replica)
        spaces_each(&memory->spaces, consider_primary, &relief);
    if (!relief.space)
        return false;
    atomic_store_explicit(&memory->pressure.full_until_ms, clock_ms() + FULL_MS,
                          memory_order_relaxed);
    monitor_log("no frames are left: the copy of %llx, %llu bytes, is given up",
                (unsigned long long)relief.space->asid.n, (unsigned long long)relief.bytes);
    bool dropped =
        replica ? give_up_replica(memory, relief.space) : move_away(memory, relief.space);
    space_put(relief.space);
    return dropped;
}

bool pressure_is_full(struct memory *memory)
{
    uint64_t until_ms = atomic_load_explicit(&memory->pressure.full_until_ms, memory_order_relaxed);
    return clock_ms() < until_ms &&
           frames_available(&memory->frames) < memory->frames.size / FULL_SHARE;
}

/* ---- 3: a run ends ---- */

/* What each run holds, a frame that its processes share counted once. */
struct holding {
    uint64_t run_id, frames;
};

struct census {
    struct frames *frames;
    uint8_t *seen; /* a bit for each frame */
    struct holding *runs;
    unsigned count, capacity;
};

static struct holding *find_run(struct census *census, uint64_t run_id)
{
    for (unsigned i = 0; i < census->count; i++)
        if (census->runs[i].run_id == run_id)
            return &census->runs[i];
    if (census->count == census->capacity) {
        unsigned capacity = census->capacity ? 2 * census->capacity : 64;
        struct holding *more = realloc(census->runs, capacity * sizeof *more);
        if (!more)
            return NULL;
        census->runs = more;
        census->capacity = capacity;
    }
    census->runs[census->count] = (struct holding){.run_id = run_id};
    return &census->runs[census->count++];
}

static void count_space(void *arg, struct space *space)
{
    struct census *census = arg;
    struct space_place place;
    struct holding *run;
    if (space_place(space, &place) == 0 && place.role == ROLE_PRIMARY &&
        (run = find_run(census, space->run_id)))
        run->frames += space_count_frames(space, census->seen);
}

/* The largest, which it takes out; of two that are as large the one that waits. */
static struct holding take_largest(struct census *census, uint64_t waiting_run)
{
    struct holding *largest = &census->runs[0];
    for (unsigned i = 1; i < census->count; i++) {
        struct holding *run = &census->runs[i];
        if (run->frames > largest->frames ||
            (run->frames == largest->frames && run->run_id == waiting_run))
            largest = run;
    }
    struct holding found = *largest;
    *largest = census->runs[--census->count];
    return found;
}

static int tell_node(struct memory *memory, const struct component_info *node,
                     const struct holding *run)
{
    struct msg_run_exceeds request = {
        .run_id = run->run_id, .memory = memory->monitor.id, .bytes = run->frames * LINE_SIZE};
    struct msg_run_exceeds_reply reply;
    strcpy(request.name, memory->monitor.name);
    return CALL_ONCE(&memory->peers, node->address, NODE_WAIT_MS, RUN_EXCEEDS, run_exceeds,
                     &request, &reply);
}

/* Whether its node has ended it. */
static bool end_run(struct memory *memory, const struct component_info *list, int count,
                    const struct holding *run)
{
    for (int i = 0; i < count; i++) {
        if (list[i].kind != COMPONENT_PROCESS || list[i].state == COMPONENT_DOWN ||
            tell_node(memory, &list[i], run) < 0)
            continue;
        monitor_log("no frames are left: run %llx, which held the most, %llu bytes, was ended",
                    (unsigned long long)run->run_id, (unsigned long long)run->frames * LINE_SIZE);
        return true;
    }
    return false;
}

/* False: nobody's node would end a run. */
static bool end_largest(struct memory *memory)
{
    struct component_info list[PEERS_MAX];
    struct census census = {.frames = &memory->frames};
    uint64_t waiting = atomic_load_explicit(&memory->pressure.waiting_run, memory_order_relaxed);
    int count = monitor_components(&memory->monitor, list, PEERS_MAX);
    census.seen = calloc(memory->frames.count / 8 + 1, 1);
    if (census.seen && count > 0)
        spaces_each(&memory->spaces, count_space, &census);
    bool ended = false;
    for (int i = 0; i < VICTIMS_MAX && census.count && !ended; i++) {
        struct holding run = take_largest(&census, waiting);
        ended = run.frames && end_run(memory, list, count, &run);
    }
    free(census.seen);
    free(census.runs);
    return ended;
}

/* ---- rounds ---- */

void pressure_round(struct memory *memory)
{
    struct pressure *pressure = &memory->pressure;
    uint64_t now_ms = clock_ms();
    if (!is_short(memory))
        pressure->short_ms = now_ms;
    if (frames_available(&memory->frames) >= memory->frames.size / RELIEF_SHARE)
        return;
    /* Who has room; where the registry is away, what is known has to do. */
    (void)!peers_refresh(&memory->peers, is_short(memory) ? PEER_RECENT_MS : CALM_MS);
    if (peers_state(&memory->peers, memory->monitor.id) != PEER_DRAINING && move_largest(memory))
        return;
    while (is_short(memory))
        if (!drop_largest(memory))
            break;
    if (!is_short(memory) || now_ms - pressure->short_ms < SHORT_MS ||
        now_ms - pressure->ended_ms < ENDING_MS)
        return;
    if (end_largest(memory))
        pressure->ended_ms = clock_ms();
    else
        atomic_store_explicit(&pressure->in_vain_ms, clock_ms(), memory_order_relaxed);
}
