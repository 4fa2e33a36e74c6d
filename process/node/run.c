/* See run.h. */
#include "run.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "home.h"
#include "limits.h"
#include "locate.h"
#include "members.h"
#include "seat.h"
#include "clock.h"
#include "deadline.h"
#include "error_text.h"

enum { CREATE_TRIES = 3 }; /* mComponents that are asked for an address space */

/*
 * ---- telling the user ----
 *
 * Events are posted by any thread on the connection that the command's own thread answers on: both
 * happen with the node's lock held. RUN_EVENTS_MAX bounds what a command that does not read makes
 * wait in its socket, well below where a post would block.
 */

static void post_event(struct run *run, const char *text)
{
    uint8_t body[RUN_EVENT_TEXT_MAX + 64];
    struct msg_run_event event = {.run_id = run->id, .text = text};
    int size = msg_run_event_encode(&event, body, sizeof body);
    /* A command that has just gone away needs no telling. */
    if (size >= 0 && net_post(run->owner, OP_RUN_EVENT, body, (size_t)size) < 0)
        monitor_log("run %llx: its command could not be told", (unsigned long long)run->id);
}

static void event_locked(struct run *run, const char *format, va_list arguments)
{
    char text[RUN_EVENT_TEXT_MAX];
    vsnprintf(text, sizeof text, format, arguments);
    if (++run->events > RUN_EVENTS_MAX)
        return;
    monitor_log("run %llx (%s): %s", (unsigned long long)run->id, run->name, text);
    if (run->owner)
        post_event(run, text);
}

void run_event_locked(struct node *node, struct run *run, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    event_locked(run, format, arguments);
    va_end(arguments);
}

void run_event(struct node *node, struct run *run, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    pthread_mutex_lock(&node->lock);
    event_locked(run, format, arguments);
    pthread_mutex_unlock(&node->lock);
    va_end(arguments);
}

/* ---- lists ---- */

static struct run *find_locked(struct node *node, struct net_conn *owner, uint64_t id)
{
    struct run *run = node->runs;
    while (run && (run->id != id || run->owner != owner))
        run = run->next;
    return run;
}

static void remove_locked(struct node *node, struct run *run)
{
    struct run **at = &node->runs;
    while (*at != run)
        at = &(*at)->next;
    *at = run->next;
    budget_return(&node->budget, run->reserved_bytes);
    free(run->writable);
    free(run);
}

void run_process_gone_locked(struct node *node, struct run *run)
{
    run->processes--;
    if (run->processes == 0 && !run->owner)
        remove_locked(node, run);
    pthread_cond_broadcast(&node->emptied);
}

/* ---- opening ---- */

int run_open(struct node *node, struct net_conn *conn, const struct net_frame *frame)
{
    struct msg_run_open m;
    if (msg_run_open_decode(&m, frame->payload, frame->header.length) < 0)
        return net_refuse(conn, frame, ASH_MALFORMED);
    if (m.replicas < 1 || m.replicas > RUN_REPLICAS_MAX)
        return net_refuse(conn, frame, -EINVAL);
    struct run *run = calloc(1, sizeof *run);
    char *writable = strdup(m.writable);
    if (!run || !writable) {
        free(run);
        free(writable);
        return net_refuse(conn, frame, -ENOMEM);
    }
    run->writable = writable;
    run->replicas = m.replicas;
    run->memory = m.memory;
    run->storage = m.storage;
    snprintf(run->name, sizeof run->name, "%s", m.name);

    pthread_mutex_lock(&node->lock);
    uint64_t grant =
        budget_grant(&node->budget, m.excache_bytes ? m.excache_bytes : BUDGET_DEFAULT);
    run->owner = conn;
    run->id = ++node->last_run_id;
    run->excache_bytes = run->reserved_bytes = grant;
    run->next = node->runs;
    node->runs = run;
    struct msg_run_open_reply reply = {.run_id = run->id, .excache_bytes = grant};
    if (grant == 0)
        remove_locked(node, run);
    int rc =
        grant == 0 ? net_refuse(conn, frame, ASH_LIMIT) : NET_REPLY(conn, frame, run_open, &reply);
    pthread_mutex_unlock(&node->lock);
    return rc;
}

int run_seat(struct node *node, struct net_conn *conn, const struct net_frame *frame)
{
    struct msg_run_seat m;
    if (msg_run_seat_decode(&m, frame->payload, frame->header.length) < 0)
        return net_refuse(conn, frame, ASH_MALFORMED);
    struct seat_ends ends;
    int rc = -ENOENT;
    uint64_t unused = 0;
    pthread_mutex_lock(&node->lock);
    struct run *run = find_locked(node, conn, m.run_id);
    if (run) {
        /* The first seat takes what RUN_OPEN set aside. */
        uint64_t budget = run->reserved_bytes ? run->reserved_bytes
                                              : budget_grant(&node->budget, run->excache_bytes);
        run->reserved_bytes = 0;
        rc = budget ? seat_open_locked(node, run, budget, &ends) : ASH_LIMIT;
        if (rc < 0)
            unused = budget;
    }
    budget_return(&node->budget, unused);
    if (rc < 0) {
        rc = net_refuse(conn, frame, rc);
    } else {
        uint8_t body[16];
        struct msg_run_seat_reply reply = {.seat = ends.serial};
        int size = msg_run_seat_reply_encode(&reply, body, sizeof body);
        int fds[2] = {ends.seat_fd, ends.lifeline_fd};
        rc = net_reply_fds(conn, frame, body, (size_t)size, fds, 2);
        seat_ends_close(&ends);
    }
    pthread_mutex_unlock(&node->lock);
    return rc;
}

/* ---- ending ---- */

/* Kills every process of the run; those that never spoke lose their seat. Returns how many ran. */
static unsigned kill_all_locked(struct node *node, struct run *run)
{
    unsigned ran = 0;
    run->ending = true;
    for (struct process *p = node->processes; p; p = p->next) {
        if (p->run == run)
            ran += seat_kill_locked(p);
    }
    return ran;
}

static bool wait_empty_locked(struct node *node, struct run *run, unsigned wait_ms)
{
    struct timespec until = deadline_timespec(clock_ms() + wait_ms);
    int rc = 0;
    while (run->processes > 0 && rc == 0)
        rc = pthread_cond_timedwait(&node->emptied, &node->lock, &until);
    return run->processes == 0;
}

/*
 * Ends a run and waits for its memory to be free. A seat that outlives its killed process (a
 * descriptor of it was kept elsewhere) is closed from this side.
 */
static unsigned end_locked(struct node *node, struct run *run)
{
    unsigned ran = kill_all_locked(node, run);
    if (!wait_empty_locked(node, run, RUN_END_MS)) {
        for (struct process *p = node->processes; p; p = p->next) {
            if (p->run == run)
                seat_shut_locked(p);
        }
        if (!wait_empty_locked(node, run, RUN_END_MS))
            monitor_log("run %llx: %u processes did not end", (unsigned long long)run->id,
                        run->processes);
    }
    run->owner = NULL;
    if (run->processes == 0)
        remove_locked(node, run);
    return ran;
}

int run_close(struct node *node, struct net_conn *conn, const struct net_frame *frame)
{
    struct msg_run_close m;
    if (msg_run_close_decode(&m, frame->payload, frame->header.length) < 0)
        return net_refuse(conn, frame, ASH_MALFORMED);
    pthread_mutex_lock(&node->lock);
    struct run *run = find_locked(node, conn, m.run_id);
    struct msg_run_close_reply reply = {};
    if (run) {
        reply.lost = run->lost;
        reply.ended = end_locked(node, run);
    }
    int rc = run ? NET_REPLY(conn, frame, run_close, &reply) : net_refuse(conn, frame, -ENOENT);
    pthread_mutex_unlock(&node->lock);
    return rc;
}

void run_owner_gone(struct node *node, struct net_conn *conn)
{
    pthread_mutex_lock(&node->lock);
    for (struct run *run = node->runs; run;) {
        if (run->owner != conn) {
            run = run->next;
            continue;
        }
        monitor_log("run %llx (%s): its command is gone", (unsigned long long)run->id, run->name);
        end_locked(node, run);
        run = node->runs; /* the lock was let go while waiting */
    }
    pthread_mutex_unlock(&node->lock);
}

void run_end_all(struct node *node)
{
    pthread_mutex_lock(&node->lock);
    for (struct run *run = node->runs; run; run = run->next)
        kill_all_locked(node, run);
    pthread_mutex_unlock(&node->lock);
}

/* ---- homes ---- */

/* Of where a run makes its address spaces; another one than `failed`, and where that takes nothing
   any more. */
static void choose_memory(struct node *node, struct run *run, struct component failed,
                          struct component_info *out)
{
    struct component_info now;
    pthread_mutex_lock(&node->lock);
    *out = run->memory;
    pthread_mutex_unlock(&node->lock);
    bool taking = out->id.n != failed.n && members_find(node->members, out->id, 0, &now) &&
                  now.state == COMPONENT_UP;
    if (!taking && members_best(node->members, out->id, &now)) {
        *out = now;
        pthread_mutex_lock(&node->lock);
        run->memory = now;
        pthread_mutex_unlock(&node->lock);
    }
}

static int try_create(struct node *node, struct run *run, const struct component_info *memory,
                      struct home **home, struct msg_space_create_reply *reply)
{
    int rc = home_get(node, memory, home);
    if (rc < 0)
        return rc;
    rc = home_create_space(*home, run->id, run->replicas, reply);
    if (rc < 0)
        home_put(node, *home);
    return rc;
}

int run_create_space(struct node *node, struct run *run, struct home **home,
                     struct msg_space_create_reply *reply)
{
    struct component_info memory;
    struct component failed = {0};
    int rc;
    for (int tries = 1;; tries++) {
        choose_memory(node, run, failed, &memory);
        rc = try_create(node, run, &memory, home, reply);
        if (rc == 0 || rc == ASH_LIMIT || rc == -ENOMEM || memory.id.n == failed.n ||
            tries == CREATE_TRIES)
            break;
        failed = memory.id; /* it is lost, though that may not be known yet */
    }
    if (rc < 0)
        run_event(node, run, "%s (memory) at %s gave no address space: %s", memory.name,
                  memory.address, error_text(rc));
    return rc;
}

int run_create_store(struct node *node, uint64_t run_id, struct home **home,
                     struct msg_space_create_reply *reply)
{
    pthread_mutex_lock(&node->lock);
    struct run *run = node->runs;
    while (run && run->id != run_id)
        run = run->next;
    pthread_mutex_unlock(&node->lock);
    /* What has a store has a process, which keeps the run. */
    return run ? run_create_space(node, run, home, reply) : ASH_LOST;
}

/* ---- memory that is lost ---- */

static void lost_locked(struct node *node, struct run *run, const struct component_info *memory)
{
    if (run->lost || run->ending)
        return;
    run->lost = true;
    run_event_locked(node, run,
                     "%s (memory, pid %u) was lost; ended %u process%s that kept memory there",
                     memory->name, memory->pid, run->processes, run->processes == 1 ? "" : "es");
    kill_all_locked(node, run);
}

void run_lost(struct node *node, uint64_t run_id, const struct component_info *memory)
{
    pthread_mutex_lock(&node->lock);
    for (struct run *run = node->runs; run; run = run->next)
        if (run->id == run_id)
            lost_locked(node, run, memory);
    pthread_mutex_unlock(&node->lock);
}

int run_exceeds(struct node *node, struct net_conn *conn, const struct net_frame *frame)
{
    struct msg_run_exceeds m;
    struct msg_run_exceeds_reply reply = {};
    if (msg_run_exceeds_decode(&m, frame->payload, frame->header.length) < 0)
        return net_refuse(conn, frame, ASH_MALFORMED);
    pthread_mutex_lock(&node->lock);
    struct run *run = node->runs;
    while (run && run->id != m.run_id)
        run = run->next;
    if (run && !run->lost && !run->ending) {
        run->lost = true;
        run_event_locked(
            node, run,
            "out of memory: %s (memory) has no room left; ended %u process%s, which held "
            "%.1f MiB there, the most of all. More mComponents make room (ashlar up "
            "--memory N), or less at a time",
            m.name, run->processes, run->processes == 1 ? "" : "es", (double)m.bytes / (1 << 20));
        kill_all_locked(node, run);
    }
    pthread_mutex_unlock(&node->lock);
    return run ? NET_REPLY(conn, frame, run_exceeds, &reply) : net_refuse(conn, frame, -ENOENT);
}

void run_move_home(struct node *node, uint64_t serial, struct home *from, struct home *to)
{
    struct home *put = to;
    pthread_mutex_lock(&node->lock);
    for (struct process *p = node->processes; p; p = p->next) {
        if (p->serial != serial || p->home != from)
            continue;
        p->home = to;
        put = from;
    }
    pthread_mutex_unlock(&node->lock);
    home_put(node, put);
}

/* One of the processes at a home, other than those that were looked at: with a greater serial. */
static bool next_there(struct node *node, struct home *home, uint64_t *serial, struct asid *asid)
{
    uint64_t best = UINT64_MAX;
    pthread_mutex_lock(&node->lock);
    for (struct process *p = node->processes; p; p = p->next) {
        if (p->home == home && p->serial > *serial && p->serial < best) {
            best = p->serial;
            *asid = p->asid;
        }
    }
    pthread_mutex_unlock(&node->lock);
    *serial = best;
    return best != UINT64_MAX;
}

/* Gives a process the home where its space is found. */
static void follow(struct node *node, struct home *home, uint64_t serial, struct asid asid,
                   uint64_t deadline_ms)
{
    struct component_info now;
    struct home *to;
    if (locate_space(node, asid, home_info(home)->id, deadline_ms, &now) == 0 &&
        home_get(node, &now, &to) == 0)
        run_move_home(node, serial, home, to);
}

void run_follow(struct node *node, struct home *home)
{
    uint64_t serial = 0;
    struct asid asid;
    while (next_there(node, home, &serial, &asid))
        if (!home_serves(home, asid))
            follow(node, home, serial, asid, 0);
}

void run_home_lost(struct node *node, struct home *home, int why)
{
    const struct component_info *info = home_info(home);
    uint64_t serial = 0, deadline_ms = clock_ms() + LOCATE_TIMEOUT_MS;
    struct asid asid;
    monitor_log("%s (memory, pid %u) was lost: %s", info->name, info->pid, error_text(why));
    while (next_there(node, home, &serial, &asid))
        follow(node, home, serial, asid, deadline_ms);
    pthread_mutex_lock(&node->lock);
    for (struct process *p = node->processes; p; p = p->next)
        if (p->home == home)
            lost_locked(node, p->run, info);
    pthread_mutex_unlock(&node->lock);
}

bool run_has_space(struct node *node, struct asid asid)
{
    pthread_mutex_lock(&node->lock);
    struct process *p = node->processes;
    while (p && p->asid.n != asid.n)
        p = p->next;
    pthread_mutex_unlock(&node->lock);
    return p != NULL;
}

struct asid run_some_asid(struct node *node, struct home *home)
{
    struct asid asid = {0};
    pthread_mutex_lock(&node->lock);
    for (struct process *p = node->processes; p && asid.n == 0; p = p->next) {
        if (p->home == home)
            asid = p->asid;
    }
    pthread_mutex_unlock(&node->lock);
    return asid;
}
