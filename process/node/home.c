/* See home.h. */
#include "home.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "limits.h"
#include "members.h"
#include "run.h"
#include "clock.h"
#include "error_text.h"

enum { FOLLOW_MS = 1000 }; /* between two looks at what has left a home that is drained */

struct home {
    struct home *next;          /* homes_lock */
    struct component_info info; /* never changes */
    unsigned refs;              /* homes_lock; the watcher has one */
    bool listed;                /* homes_lock: still to be found by home_get() */
    struct node *node;          /* never changes */
    pthread_mutex_t lock;       /* the connection and what follows; taken before node->lock */
    struct net_conn *conn;      /* lock; NULL before the first connect and once lost */
    int failed;                 /* lock; why a request found the connection useless, 0 */
    bool watched, stopping;     /* lock */
    int wake_fd;                /* eventfd: stopping */
    pthread_t watcher;          /* joined by homes_stop() unless the home was lost (detached) */
};

static const struct msg_bind control_bind = {.scope = SCOPE_COMPONENT, .writable = ""};

static void home_free(struct home *home)
{
    net_close(home->conn);
    close(home->wake_fd);
    pthread_mutex_destroy(&home->lock);
    free(home);
}

void home_put(struct node *node, struct home *home)
{
    pthread_mutex_lock(&node->homes_lock);
    bool last = --home->refs == 0;
    if (last && home->listed) {
        struct home **at = &node->homes;
        while (*at != home)
            at = &(*at)->next;
        *at = home->next;
    }
    pthread_mutex_unlock(&node->homes_lock);
    if (last)
        home_free(home);
}

struct home *home_hold(struct node *node, struct home *home)
{
    pthread_mutex_lock(&node->homes_lock);
    home->refs++;
    pthread_mutex_unlock(&node->homes_lock);
    return home;
}

const struct component_info *home_info(const struct home *home)
{
    return &home->info;
}

static void unlist(struct home *home)
{
    struct node *node = home->node;
    pthread_mutex_lock(&node->homes_lock);
    for (struct home **at = &node->homes; *at; at = &(*at)->next) {
        if (*at == home) {
            *at = home->next;
            break;
        }
    }
    home->listed = false;
    pthread_mutex_unlock(&node->homes_lock);
}

/*
 * HOME_CALL(home, PING, ping, &request, &reply): NET_CALL, which ends as soon as the mComponent is
 * declared down. With the lock.
 */
#define HOME_CALL(home, OP, name, request, reply)                                                  \
    ({                                                                                             \
        struct members_guard guard_;                                                               \
        int called_ = members_guard((home)->node->members, &guard_, (home)->info.id,               \
                                    net_conn_fd((home)->conn));                                    \
        if (called_ == 0)                                                                          \
            called_ = NET_CALL((home)->conn, OP, name, (request), (reply), MEMORY_TIMEOUT_MS);     \
        members_unguard((home)->node->members, &guard_);                                           \
        called_;                                                                                   \
    })

/* Whether the mComponent still has the space of one of the processes that live there. */
static int still_known(struct home *home)
{
    struct msg_space_stat request = {.asid = run_some_asid(home->node, home)};
    if (request.asid.n == 0)
        return 0;
    struct msg_space_stat_reply reply;
    return HOME_CALL(home, SPACE_STAT, space_stat, &request, &reply);
}

static bool is_down(struct home *home)
{
    struct members_guard guard;
    int rc = members_guard(home->node->members, &guard, home->info.id, -1);
    members_unguard(home->node->members, &guard);
    return rc < 0;
}

/* With the lock: asks once, or after an ended connection connects again. Negative: it is lost. */
static int check(struct home *home, bool ended)
{
    struct msg_ping ping = {};
    struct msg_ping_reply reply;
    int rc = home->failed ? home->failed : ended ? ASH_LOST : 0;
    if (rc == 0)
        rc = HOME_CALL(home, PING, ping, &ping, &reply);
    if (rc == 0 || rc == ASH_TIMEOUT || is_down(home))
        return rc;
    net_close(home->conn);
    home->conn = NULL;
    home->failed = 0;
    rc = net_connect(home->info.address, &home->node->monitor->key, &control_bind,
                     CONNECT_TIMEOUT_MS, &home->conn, NULL);
    return rc < 0 ? rc : still_known(home);
}

/* Its spaces move away, and their processes may not have noticed. */
static bool is_drained(struct home *home)
{
    struct component_info info;
    return members_known(home->node->members, home->info.id, &info) &&
           info.state == COMPONENT_DRAINING;
}

static void *watch(void *argument)
{
    struct home *home = argument;
    struct node *node = home->node;
    uint64_t followed_ms = 0;
    bool lost = false;
    for (;;) {
        pthread_mutex_lock(&home->lock);
        struct pollfd fds[2] = {
            {.fd = net_conn_fd(home->conn), .events = POLLRDHUP},
            {.fd = home->wake_fd, .events = POLLIN},
        };
        pthread_mutex_unlock(&home->lock);
        (void)poll(fds, 2, HEARTBEAT_MS);

        pthread_mutex_lock(&home->lock);
        if (home->stopping) {
            pthread_mutex_unlock(&home->lock);
            break;
        }
        int rc = check(home, fds[0].revents != 0);
        if (rc < 0) {
            net_close(home->conn);
            home->conn = NULL;
            lost = true;
        }
        pthread_mutex_unlock(&home->lock);
        if (!lost && clock_ms() - followed_ms >= FOLLOW_MS && is_drained(home)) {
            run_follow(node, home);
            followed_ms = clock_ms();
        }
        if (lost) {
            unlist(home);
            pthread_detach(pthread_self());
            run_home_lost(node, home, rc);
            break;
        }
    }
    if (lost)
        home_put(node, home);
    return NULL;
}

static struct home *find_or_make(struct node *node, const struct component_info *info)
{
    pthread_mutex_lock(&node->homes_lock);
    struct home *home = node->homes;
    while (home && strncmp(home->info.address, info->address, sizeof info->address) != 0)
        home = home->next;
    if (!home && (home = calloc(1, sizeof *home))) {
        home->info = *info;
        home->node = node;
        home->wake_fd = eventfd(0, EFD_CLOEXEC);
        pthread_mutex_init(&home->lock, NULL);
        home->next = node->homes;
        home->listed = true;
        node->homes = home;
    }
    if (home)
        home->refs++;
    pthread_mutex_unlock(&node->homes_lock);
    return home;
}

/* With the lock, once in a home's life: connects, and gives the watcher a reference. */
static int start_watching(struct home *home)
{
    int rc = net_connect(home->info.address, &home->node->monitor->key, &control_bind,
                         CONNECT_TIMEOUT_MS, &home->conn, NULL);
    if (rc < 0)
        return rc;
    home_hold(home->node, home);
    rc = -pthread_create(&home->watcher, NULL, watch, home);
    if (rc < 0) {
        net_close(home->conn);
        home->conn = NULL;
        home_put(home->node, home);
        return rc;
    }
    home->watched = true;
    return 0;
}

int home_get(struct node *node, const struct component_info *info, struct home **out)
{
    struct home *home = find_or_make(node, info);
    if (!home)
        return -ENOMEM;
    pthread_mutex_lock(&home->lock);
    int rc = home->watched ? home->conn ? 0 : ASH_LOST : start_watching(home);
    pthread_mutex_unlock(&home->lock);
    if (rc < 0) {
        home_put(node, home);
        return rc;
    }
    *out = home;
    return 0;
}

/* With the lock, after a request: a useless connection wakes the watcher. */
static void note(struct home *home, int rc)
{
    if (rc != ASH_LOST && rc != ASH_TIMEOUT)
        return;
    home->failed = rc;
    shutdown(net_conn_fd(home->conn), SHUT_RDWR);
}

int home_create_space(struct home *home, uint64_t run_id, uint32_t replicas,
                      struct msg_space_create_reply *reply)
{
    struct msg_space_create request = {.run_id = run_id, .replicas = replicas};
    pthread_mutex_lock(&home->lock);
    int rc = ASH_LOST;
    if (home->conn && !home->failed) {
        rc = HOME_CALL(home, SPACE_CREATE, space_create, &request, reply);
        note(home, rc);
    }
    pthread_mutex_unlock(&home->lock);
    return rc;
}

bool home_serves(struct home *home, struct asid asid)
{
    struct msg_space_stat request = {.asid = asid};
    struct msg_space_stat_reply reply;
    pthread_mutex_lock(&home->lock);
    int rc = ASH_LOST;
    if (home->conn && !home->failed) {
        rc = HOME_CALL(home, SPACE_STAT, space_stat, &request, &reply);
        note(home, rc);
    }
    pthread_mutex_unlock(&home->lock);
    return rc == 0;
}

int home_destroy_space(struct home *home, struct asid asid)
{
    struct msg_space_destroy request = {.asid = asid};
    struct msg_space_destroy_reply reply;
    pthread_mutex_lock(&home->lock);
    int rc = ASH_LOST;
    if (home->conn && !home->failed) {
        rc = HOME_CALL(home, SPACE_DESTROY, space_destroy, &request, &reply);
        note(home, rc);
    }
    pthread_mutex_unlock(&home->lock);
    return rc;
}

int homes_init(struct node *node)
{
    return -pthread_mutex_init(&node->homes_lock, NULL);
}

void homes_stop(struct node *node)
{
    for (;;) {
        pthread_mutex_lock(&node->homes_lock);
        struct home *home = node->homes;
        if (home)
            home->refs++;
        pthread_mutex_unlock(&node->homes_lock);
        if (!home)
            return;
        pthread_mutex_lock(&home->lock);
        bool watched = home->watched && home->conn;
        home->stopping = true;
        (void)eventfd_write(home->wake_fd, 1);
        pthread_mutex_unlock(&home->lock);
        unlist(home);
        if (watched) {
            pthread_join(home->watcher, NULL);
            home_put(node, home);
        }
        home_put(node, home);
    }
}
