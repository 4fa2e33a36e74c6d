/*
 * Parts. The way of a vRegion that is not active yet, at its home:
 *
 *   1  VREGION_GRANT comes from the process, with the number of lines that it is about to map
 *      writable; each of the new vRegions is to have room for its share of them
 *   2  part 0 where this component has not promised that room to others already, else another part
 *      whose component has it, else PLACE_VREGION to the global managers
 *   3  they name a component that is to have a further part
 *   4  where that part is new, its place is noted, here and at the replica: nobody who takes this
 *      one's place gives its number to another; SPACE_PART there
 *   5  VREGION_GRANT there; its answer says what room it has left
 *   6  the vRegion array says from now on where the vRegion lies, and so does the answer
 *
 * Where nobody has room the vRegion goes to who has the most memory free, more being promised than
 * there is; below a floor it is refused.
 */
#include "parts.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "fault.h"
#include "replicate.h"
#include "replicator.h"
#include "ship.h"

enum {
    FLOOR_SHARE = 64,       /* new vRegions are refused below 1/64 of the frames */
    PLACE_TIMEOUT_MS = 400, /* for the global managers; then the last list must do */
    FORWARD_MS = 1200,      /* within which another part must be found and answer */
    FORWARD_PAUSE_MS = 20,
    GRANT_TRIES = 2, /* components that do not answer, passed over */
};

PEER_DECODE(space_part)
PEER_DECODE(space_locate)
PEER_DECODE(space_destroy)

/* ---- where a part is ---- */

/* Somebody has heard that `lost` is. */
static void bear_loss(struct memory *memory, struct space *space, struct component lost)
{
    if (replica_bear_loss(memory, space, lost))
        return;
    space_doubt_replica(space, lost, true);
    memory_wake_replicator(memory);
}

void parts_look(struct memory *memory, struct asid asid, struct component lost,
                struct msg_space_locate_reply *out)
{
    struct space *space = spaces_find(&memory->spaces, asid);
    struct space_place place;
    *out = (struct msg_space_locate_reply){.role = ROLE_NONE, .pid = (uint32_t)getpid()};
    if (!space)
        return;
    if (lost.n)
        bear_loss(memory, space, lost);
    if (space_place(space, &place) == 0 && (place.role == ROLE_PRIMARY || place.ready))
        *out = (struct msg_space_locate_reply){.role = (uint8_t)place.role,
                                               .primary = place.primary,
                                               .epoch = place.epoch,
                                               .pid = (uint32_t)getpid()};
    space_put(space);
}

int parts_locate(struct memory *memory, struct asid asid, struct component lost,
                 struct component *out)
{
    struct msg_space_locate request = {.asid = asid, .lost = lost};
    struct msg_space_locate_reply reply;
    struct component up[PEERS_MAX];
    int worst = ASH_NO_SPACE_ID;
    parts_look(memory, asid, lost, &reply);
    if (reply.role == ROLE_PRIMARY) {
        *out = memory->monitor.id;
        return 0;
    }
    unsigned count = peers_up(&memory->peers, up);
    for (unsigned i = 0; i < count; i++) {
        int rc = PEER_CALL(&memory->peers, up[i], SPACE_LOCATE, space_locate, &request, &reply);
        if (rc == 0 && reply.role == ROLE_PRIMARY) {
            *out = up[i];
            return 0;
        }
        if (rc < 0)
            worst = rc;
    }
    return worst;
}

/* Whether nobody that is up has anything of this first part: its process is gone. */
static bool are_orphans(struct memory *memory, struct asid first)
{
    struct msg_space_locate request = {.asid = first};
    struct msg_space_locate_reply reply;
    struct component up[PEERS_MAX];
    parts_look(memory, first, (struct component){0}, &reply);
    unsigned count = peers_up(&memory->peers, up);
    bool found = reply.role != ROLE_NONE || peers_may_be_more(&memory->peers);
    for (unsigned i = 0; i < count && !found; i++)
        found =
            PEER_CALL(&memory->peers, up[i], SPACE_LOCATE, space_locate, &request, &reply) < 0 ||
            reply.role != ROLE_NONE;
    return !found;
}

/* Whether a node has a process of this address space. */
static int ask_node(struct memory *memory, const struct component_info *node, struct asid asid)
{
    struct msg_process_known request = {.asid = asid};
    struct msg_process_known_reply reply;
    return CALL_ONCE(&memory->peers, node->address, NODE_WAIT_MS, PROCESS_KNOWN, process_known,
                     &request, &reply);
}

static bool is_known_to_a_node(struct memory *memory, struct asid asid)
{
    struct component_info list[PEERS_MAX];
    int count = monitor_components(&memory->monitor, list, PEERS_MAX);
    bool known = count < 0; /* the registry is away */
    for (int i = 0; i < count && !known; i++)
        known = list[i].kind == COMPONENT_PROCESS && list[i].state != COMPONENT_DOWN &&
                ask_node(memory, &list[i], asid) != -ENOENT;
    return known;
}

bool parts_are_awaited(struct memory *memory, struct space *space)
{
    if (space_part(space))
        return !are_orphans(memory, asid_first(space->asid));
    return spaces_is_inherited(&memory->spaces, space) && is_known_to_a_node(memory, space->asid);
}

bool parts_is_forgotten(struct memory *memory, struct space *replica,
                        const struct space_place *place)
{
    struct msg_space_locate request = {.asid = replica->asid};
    struct msg_space_locate_reply reply;
    fault_point("forgotten.ask");
    int rc =
        PEER_CALL(&memory->peers, place->primary, SPACE_LOCATE, space_locate, &request, &reply);
    /* A new process under the primary's number has nothing, and this is the only copy. */
    return rc == 0 && reply.pid == place->pid &&
           !(reply.role == ROLE_PRIMARY && reply.epoch <= place->epoch);
}

bool parts_is_elsewhere(struct memory *memory, struct space *space, uint32_t epoch, bool *unsure)
{
    struct msg_space_locate request = {.asid = space->asid};
    struct msg_space_locate_reply reply;
    struct component up[PEERS_MAX];
    unsigned count = peers_up(&memory->peers, up);
    *unsure = peers_may_be_more(&memory->peers);
    for (unsigned i = 0; i < count; i++) {
        int rc = PEER_CALL(&memory->peers, up[i], SPACE_LOCATE, space_locate, &request, &reply);
        if (rc == 0 && reply.role == ROLE_PRIMARY && reply.epoch > epoch)
            return true;
        *unsure |= rc < 0;
    }
    return false;
}

/* ---- requests to a part ---- */

/* One request about a part, to where it is: 0, or an error as of peer_request(). */
typedef int part_request(struct memory *memory, struct component to, struct asid asid, void *arg);

/* Asks the component of a part, until it answers or is lost, but not for longer than patience_ms.
   Where it is lost, or has the part no longer, whoever has it now: *to then, too. */
static int ask_part(struct memory *memory, struct space *space, uint16_t part, struct component *to,
                    uint32_t patience_ms, part_request *request, void *arg)
{
    struct asid asid = asid_part(space->asid, part);
    uint64_t deadline_ms = clock_ms() + patience_ms;
    int rc;
    while ((rc = request(memory, *to, asid, arg)) < 0) {
        struct component lost = {0}, found;
        bool moved = rc == ASH_MOVED || rc == ASH_NO_SPACE_ID;
        if (!moved && !peer_unreached(rc))
            return rc;
        if (peers_refresh(&memory->peers, PEER_FRESH_MS) == 0 &&
            peers_state(&memory->peers, *to) == PEER_DOWN)
            lost = *to;
        if ((moved || lost.n) && parts_locate(memory, asid, lost, &found) == 0 &&
            found.n != to->n) {
            *to = found;
        } else if (moved || lost.n || clock_ms() >= deadline_ms) {
            return rc;
        } else {
            nanosleep(&(struct timespec){.tv_nsec = FORWARD_PAUSE_MS * 1000000l}, NULL);
        }
    }
    return 0;
}

static int send_destroy(struct memory *memory, struct component to, struct asid asid, void *arg)
{
    struct msg_space_destroy request = {.asid = asid};
    struct msg_space_destroy_reply reply;
    return PEER_CALL(&memory->peers, to, SPACE_DESTROY, space_destroy, &request, &reply);
}

void parts_destroy(struct memory *memory, struct space *space)
{
    struct component parts[PARTS_MAX];
    space_parts(space, parts);
    for (uint16_t part = 1; part < PARTS_MAX; part++)
        if (parts[part].n)
            (void)!ask_part(memory, space, part, &parts[part], FORWARD_MS, send_destroy, NULL);
}

int parts_finish(struct memory *memory, struct space *space)
{
    struct msg_space_destroy request = {.asid = space->asid};
    uint8_t body[sizeof request];
    fault_point("destroy.begin");
    parts_destroy(memory, space);
    fault_point("destroy.parts");
    int size = msg_space_destroy_encode(&request, body, sizeof body);
    struct change change = {.memory = memory,
                            .space = space,
                            .op = OP_SPACE_DESTROY,
                            .request = body,
                            .request_size = (uint32_t)size};
    int rc = change_begin(&change);
    if (rc < 0)
        return rc;
    fault_point("destroy.sent");
    spaces_destroy(&memory->spaces, space);
    rc = change_end(&change, 0);
    fault_point("destroy.done");
    /* Who was making a replica notices, and has that dropped. */
    pthread_mutex_lock(&space->replicating);
    pthread_mutex_unlock(&space->replicating);
    return rc;
}

/* ---- room ---- */

/* What there is for a grant: bytes that are promised to nobody. */
struct rooms {
    uint64_t here;
    uint64_t there[PARTS_MAX];
    struct component parts[PARTS_MAX];
    bool fresh[PARTS_MAX];   /* nothing lies in it: its component may not know it */
    bool barred[PARTS_MAX];  /* its component did not answer just now */
    bool low;                /* new vRegions are refused here */
    bool in_vain;            /* the global managers know of no other room for as much */
    struct component silent; /* the last such component */
    struct grant_steps steps;
};

static void look_for_rooms(struct memory *memory, struct space *space, struct rooms *rooms)
{
    const struct frames *frames = &memory->frames;
    *rooms = (struct rooms){.low = frames_available(frames) < frames->size / FLOOR_SHARE};
    rooms->here = rooms->low ? 0 : (uint64_t)frames_unpromised(frames) * LINE_SIZE;
    space_parts(space, rooms->parts);
    for (uint16_t part = 1; part < PARTS_MAX; part++) {
        if (!rooms->parts[part].n)
            continue;
        rooms->there[part] = peers_room(&memory->peers, rooms->parts[part]);
        rooms->fresh[part] = !space_has_part(space, part);
    }
}

/* Steps 2 and 3: whom the global managers name, or the last list, where they are away. */
static struct component ask_for_owner(struct memory *memory, struct space *space,
                                      struct component except, uint64_t bytes)
{
    struct msg_place_vregion request = {
        .home = memory->monitor.id, .also = except, .asid = space->asid, .bytes = bytes};
    struct msg_place_vregion_reply reply;
    int rc = CALL_ONCE(&memory->peers, memory->monitor.global_address, PLACE_TIMEOUT_MS,
                       PLACE_VREGION, place_vregion, &request, &reply);
    if (rc == 0) {
        peers_learn(&memory->peers, &reply.owner);
        return reply.owner.id;
    }
    return peer_unreached(rc) ? peers_choose(&memory->peers, except, false) : (struct component){0};
}

/* A further part at the component that the global managers name; 0: none. */
static uint16_t further_part(struct memory *memory, struct space *space, struct rooms *rooms,
                             uint64_t bytes)
{
    uint16_t part = 1;
    while (part < PARTS_MAX && rooms->parts[part].n)
        part++;
    if (part == PARTS_MAX)
        return 0;
    struct component owner = ask_for_owner(memory, space, rooms->silent, bytes);
    rooms->steps.asked = true;
    fault_point("grant.placed");
    if (!owner.n)
        return 0;
    for (uint16_t other = 1; other < PARTS_MAX; other++)
        if (rooms->parts[other].n == owner.n)
            return other;
    rooms->parts[part] = owner;
    rooms->there[part] = peers_room(&memory->peers, owner);
    rooms->fresh[part] = true;
    return part;
}

/* The part whose component has the most memory free, whatever of it is promised. */
static int part_with_most(struct memory *memory, struct rooms *rooms, uint16_t *part)
{
    uint64_t most = rooms->low ? 0 : (uint64_t)frames_available(&memory->frames) * LINE_SIZE;
    *part = 0;
    for (uint16_t i = 1; i < PARTS_MAX; i++) {
        bool usable = rooms->parts[i].n && !rooms->barred[i];
        uint64_t bytes = usable ? peers_free_bytes(&memory->peers, rooms->parts[i]) : 0;
        if (bytes <= most)
            continue;
        most = bytes;
        *part = i;
    }
    return most < (uint64_t)memory->frames.size / FLOOR_SHARE * LINE_SIZE ? ASH_NO_FRAMES : 0;
}

/* The part that a vRegion with `bytes` to come goes to. */
static int choose_part(struct memory *memory, struct space *space, struct rooms *rooms,
                       uint64_t bytes, uint16_t *part)
{
    if (rooms->low && !bytes)
        bytes = LINE_SIZE; /* though it be only reserved, it may be used */
    *part = 0;
    if (rooms->here >= bytes) {
        rooms->here -= bytes;
        return 0;
    }
    for (uint16_t i = 1; i <= PARTS_MAX && !(i == PARTS_MAX && rooms->in_vain); i++) {
        *part = i < PARTS_MAX ? i : further_part(memory, space, rooms, bytes);
        if (*part && rooms->parts[*part].n && !rooms->barred[*part] &&
            rooms->there[*part] >= bytes) {
            rooms->there[*part] -= bytes;
            return 0;
        }
    }
    rooms->in_vain = true; /* the vRegions of a grant have about as much to come */
    return part_with_most(memory, rooms, part);
}

/* ---- grants ---- */

struct forward {
    const struct space *space;
    uint32_t first, count;
    uint64_t lines;
    bool fresh;
};

static int decode_free_bytes(void *out, const uint8_t *payload, size_t size)
{
    struct msg_vregion_grant_reply reply;
    int rc = msg_vregion_grant_reply_decode(&reply, payload, size);
    if (rc == 0)
        *(uint64_t *)out = reply.free_bytes;
    return rc;
}

/* Steps 4 and 5. */
static int send_grant(struct memory *memory, struct component to, struct asid asid, void *arg)
{
    const struct forward *f = arg;
    struct msg_space_part part = {
        .asid = asid, .run_id = f->space->run_id, .replicas = f->space->replicas};
    struct msg_space_part_reply made;
    struct vregion_run run = {.first = f->first, .count = f->count, .lines = f->lines};
    struct msg_vregion_grant request = {.asid = asid, .runs = &run, .runs_count = 1};
    uint8_t body[64];
    uint64_t free_bytes;
    int rc = f->fresh ? PEER_CALL(&memory->peers, to, SPACE_PART, space_part, &part, &made) : 0;
    if (rc < 0)
        return rc;
    if (f->fresh)
        fault_point("grant.part");
    int size = msg_vregion_grant_encode(&request, body, sizeof body);
    rc = peer_request(&memory->peers, to, OP_VREGION_GRANT, body, (size_t)size, NULL, 0,
                      decode_free_bytes, &free_bytes);
    if (rc == 0)
        peers_said_room(&memory->peers, to, free_bytes);
    return rc;
}

/* Step 4, here and at the replica. */
static int note_part(struct memory *memory, struct space *space, uint16_t part,
                     struct component owner)
{
    struct part_owner told = {.part = part, .owner = owner};
    struct change change = {.memory = memory,
                            .space = space,
                            .op = OP_REPLICA_VREGIONS,
                            .parts = &told,
                            .parts_count = 1};
    int rc = change_begin(&change);
    if (rc < 0)
        return rc;
    space_set_part(space, part, owner);
    return change_end(&change, 0);
}

/* Step 6, here and at the replica: vRegions in a row, of one part, which is at `owner`. */
static int note_run(struct memory *memory, struct space *space, struct vregion_info *run,
                    uint32_t count, struct component owner, uint32_t share)
{
    bool further = run->part != space_part(space);
    struct part_owner told = {.part = run->part, .owner = owner};
    struct change change = {.memory = memory,
                            .space = space,
                            .op = OP_REPLICA_VREGIONS,
                            .parts = &told,
                            .parts_count = further,
                            .vregions = run,
                            .vregions_count = count};
    for (uint32_t i = 0; i < count; i++)
        run[i].owner = owner;
    int rc = change_begin(&change);
    if (rc < 0)
        return rc;
    fault_point("grant.sent");
    if (further)
        space_set_part(space, run->part, owner);
    rc = space_grant(space, run->index, count, run->part, share);
    return change_end(&change, rc);
}

/* A run of vRegions that go to one part; its component knows of them first. */
static int grant_run(struct memory *memory, struct space *space, struct rooms *rooms,
                     struct vregion_info *run, uint32_t count, uint32_t share)
{
    uint16_t part = run->part;
    if (part) {
        struct forward forward = {.space = space,
                                  .first = run->index,
                                  .count = count,
                                  .lines = (uint64_t)share * count,
                                  .fresh = rooms->fresh[part]};
        rooms->steps.told = true;
        int rc = forward.fresh ? note_part(memory, space, part, rooms->parts[part]) : 0;
        if (rc < 0)
            return rc;
        fault_point("grant.noted");
        rc = ask_part(memory, space, part, &rooms->parts[part], forward.fresh ? 0 : FORWARD_MS,
                      send_grant, &forward);
        if (rc < 0)
            return rc;
        fault_point("grant.told");
        rooms->fresh[part] = false;
    }
    return note_run(memory, space, run, count, rooms->parts[part], share);
}

/* Chooses parts for what is not active yet of infos[0..count), and says so in chosen[]. */
static int choose_missing(struct memory *memory, struct space *space, struct rooms *rooms,
                          struct vregion_info *infos, uint32_t count, uint32_t share, bool *chosen)
{
    /* Its line table takes frames, too. */
    uint64_t frames = share ? share + (share + CHUNK_LINES - 1) / CHUNK_LINES : 0;
    int rc = 0;
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        uint16_t part = infos[i].part;
        chosen[i] = part == PART_NONE;
        if (chosen[i])
            rc = choose_part(memory, space, rooms, frames * LINE_SIZE, &part);
        infos[i].part = part;
    }
    return rc;
}

/* Grants what was chosen. Negative, *failed being not 0: the component of that part was not
 * reached.
 */
static int grant_chosen(struct memory *memory, struct space *space, struct rooms *rooms,
                        struct vregion_info *infos, uint32_t count, uint32_t share,
                        const bool *chosen, uint16_t *failed)
{
    for (uint32_t i = 0, end; i < count; i = end) {
        end = i + 1;
        if (!chosen[i])
            continue;
        while (end < count && chosen[end] && infos[end].part == infos[i].part)
            end++;
        int rc = grant_run(memory, space, rooms, &infos[i], end - i, share);
        if (rc < 0) {
            *failed = infos[i].part;
            return rc;
        }
    }
    return 0;
}

int parts_grant(struct memory *memory, struct space *space, const struct vregion_run *run,
                struct vregion_info *out, struct grant_steps *steps)
{
    const uint32_t first = run->first, count = run->count;
    struct rooms rooms;
    bool chosen[GRANT_MAX];
    int rc, missing;
    look_for_rooms(memory, space, &rooms);
    for (int tries = 0; (missing = space_describe(space, first, count, out)) > 0; tries++) {
        uint64_t share = (run->lines + (uint32_t)missing - 1) / (uint32_t)missing;
        uint16_t failed = 0;
        if (share > VREGION_LINES)
            share = VREGION_LINES;
        rc = choose_missing(memory, space, &rooms, out, count, (uint32_t)share, chosen);
        if (rc == 0)
            rc = grant_chosen(memory, space, &rooms, out, count, (uint32_t)share, chosen, &failed);
        if (rc < 0 && (!failed || tries >= GRANT_TRIES))
            return rc;
        if (rc < 0) {
            rooms.silent = rooms.parts[failed];
            rooms.barred[failed] = true;
        }
    }
    steps->asked |= rooms.steps.asked;
    steps->told |= rooms.steps.told;
    for (uint32_t i = 0; i < count && missing == 0; i++)
        if (out[i].part == 0)
            out[i].owner = memory->monitor.id;
    return missing;
}

int parts_grant_further(struct memory *memory, struct space *space, const struct vregion_run *run,
                        struct vregion_info *out)
{
    const uint32_t first = run->first, count = run->count;
    int missing = space_describe(space, first, count, out);
    if (missing > 0) {
        uint64_t share = (run->lines + (uint32_t)missing - 1) / (uint32_t)missing;
        replicate_at_first(memory, space);
        for (uint32_t i = 0; i < count; i++)
            out[i].part = space_part(space);
        missing = note_run(memory, space, out, count, memory->monitor.id,
                           share < VREGION_LINES ? (uint32_t)share : VREGION_LINES);
    }
    for (uint32_t i = 0; missing == 0 && i < count; i++)
        out[i].owner = memory->monitor.id;
    return missing;
}
