/*
 * See locate.h.
 *
 * A round asks every mComponent that is up. One that serves the part is the answer, the one with
 * the newest epoch where an older primary does not know yet that it was replaced. Else a replica
 * whose primary is gone is asked to take its place. Rounds are repeated while somebody who could
 * have the part does not answer: also one that was declared down, unless its host says that nobody
 * is there. On a machine that is starved two may be taken for lost together, and come back.
 */
#include "locate.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "clock.h"
#include "error_text.h"
#include "home.h"
#include "members.h"

enum {
    ASK_MS = 150,  /* for a connection, and for its answer */
    PAUSE_MS = 20, /* between two rounds */
    /* Who is not in the rack for so long is not coming: global managers that were started again
       know a component from its next heartbeat on. */
    ABSENT_MS = LEASE_MS + HEARTBEAT_MS,
};

struct peer {
    struct component_info info;
    bool gone; /* it cannot have the part: it is down, or says that it has not */
    bool silent;
    struct msg_space_locate_reply answer;
};

struct search {
    struct node *node;
    struct asid asid;
    uint64_t began_ms;
    struct peer *found;
    size_t count;
    struct peer peers[MEMBERS_MAX];
};

static const struct msg_bind control_bind = {.scope = SCOPE_COMPONENT, .writable = ""};

static void ask(struct search *s, struct peer *peer, struct component lost)
{
    struct msg_space_locate request = {.asid = s->asid, .lost = lost};
    struct net_conn *conn;
    int rc =
        net_connect(peer->info.address, &s->node->monitor->key, &control_bind, ASK_MS, &conn, NULL);
    if (rc == 0) {
        rc = NET_CALL(conn, SPACE_LOCATE, space_locate, &request, &peer->answer, ASK_MS);
        net_close(conn);
    }
    if (rc == ASH_NO_SPACE_ID || rc == ASH_MOVED || rc == ASH_UNKNOWN_OP) {
        peer->answer = (struct msg_space_locate_reply){.role = ROLE_NONE};
        rc = 0;
    }
    peer->silent = rc < 0;
    peer->gone = rc == 0 && peer->answer.role == ROLE_NONE;
    if (rc == 0 && peer->answer.role == ROLE_PRIMARY &&
        (!s->found || peer->answer.epoch > s->found->answer.epoch))
        s->found = peer;
}

static bool is_gone(const struct search *s, struct component id)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->peers[i].info.id.n == id.n)
            return s->peers[i].gone;
    return clock_ms() - s->began_ms > ABSENT_MS;
}

static void take_peers(struct search *s)
{
    struct component_info list[MEMBERS_MAX];
    s->found = NULL;
    s->count = members_get(s->node->members, PAUSE_MS, list, MEMBERS_MAX);
    for (size_t i = 0; i < s->count; i++)
        s->peers[i] = (struct peer){.info = list[i], .gone = !member_is_up(&list[i])};
}

/* Of one that was declared down: whether its process is gone, not merely late. */
static bool is_dead(const struct search *s, const struct peer *peer)
{
    struct net_conn *conn;
    int rc =
        net_connect(peer->info.address, &s->node->monitor->key, &control_bind, ASK_MS, &conn, NULL);
    if (rc == 0)
        net_close(conn);
    return rc == -ECONNREFUSED;
}

/* Whether nobody has it, or will say so. */
static bool is_nowhere(const struct search *s, struct component was)
{
    bool nowhere = is_gone(s, was);
    for (size_t i = 0; i < s->count && nowhere; i++)
        nowhere = s->peers[i].gone && (member_is_up(&s->peers[i].info) || is_dead(s, &s->peers[i]));
    return nowhere;
}

/* 0: s->found has it. ASH_NO_SPACE_ID, ASH_TIMEOUT: as locate_space(). */
static int look_around(struct search *s, struct component was)
{
    const struct component nobody = {0};
    take_peers(s);
    for (size_t i = 0; i < s->count; i++)
        if (!s->peers[i].gone)
            ask(s, &s->peers[i], nobody);
    for (size_t i = 0; i < s->count && !s->found; i++) {
        struct peer *peer = &s->peers[i];
        if (!peer->gone && !peer->silent && is_gone(s, peer->answer.primary))
            ask(s, peer, peer->answer.primary);
    }
    if (s->found)
        return 0;
    return is_nowhere(s, was) ? ASH_NO_SPACE_ID : ASH_TIMEOUT;
}

int locate_space(struct node *node, struct asid asid, struct component was, uint64_t deadline_ms,
                 struct component_info *out)
{
    struct search s = {.node = node, .asid = asid, .began_ms = clock_ms()};
    int rc = look_around(&s, was), before = ASH_TIMEOUT;
    /* Twice nobody: it may have gone from one that was not asked yet to one that was. */
    while (rc < 0 && !(rc == ASH_NO_SPACE_ID && before == rc) && clock_ms() < deadline_ms) {
        poll(NULL, 0, PAUSE_MS);
        before = rc;
        rc = look_around(&s, was);
    }
    if (rc == 0)
        *out = s.found->info;
    return rc;
}

void locate_and_destroy(struct node *node, struct home *home, struct asid asid)
{
    struct component_info now;
    struct home *elsewhere;
    /* It is looked for twice: the list of the first look may be older than who has it. */
    if (home_destroy_space(home, asid) == 0 ||
        locate_space(node, asid, home_info(home)->id, clock_ms() + 2 * PAUSE_MS, &now) < 0 ||
        home_get(node, &now, &elsewhere) < 0)
        return;
    int rc = home_destroy_space(elsewhere, asid);
    if (rc < 0)
        monitor_log("%s did not free space %llu: %s", now.name, (unsigned long long)asid.n,
                    error_text(rc));
    home_put(node, elsewhere);
}
