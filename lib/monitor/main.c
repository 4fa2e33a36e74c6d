/*
 * monitor_main(): the life of a monitor.
 *
 * The main thread owns it: it blocks SIGTERM and SIGINT before any other thread exists, takes them
 * from a signalfd, watches the lifeline, and sends the heartbeats in between; connections are
 * served by lib/net's threads. Nothing that it waits for takes longer than half a second, so a
 * SIGTERM ends the monitor within one.
 */
#include "monitor.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "../util/clock.h"
#include "../util/error_text.h"
#include "fault.h"
#include "log.h"
#include "options.h"
#include "registrar.h"

struct life {
    struct monitor *monitor;
    struct common_options common;
    struct registrar registrar;
    int signal_fd;
    bool ready; /* said so */
};

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int take_signals(void)
{
    sigset_t set;
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    int fd = signalfd(-1, &set, SFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int load_key(struct monitor *m)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/key", m->rack_dir) >= (int)sizeof path)
        return -ENAMETOOLONG;
    int rc = net_key_load(path, &m->key);
    if (rc < 0)
        monitor_log("cannot read the cluster key %s: %s", path,
                    rc == -EPERM ? "others than its owner may read it (chmod 600)"
                                 : error_text(rc));
    return rc;
}

static void say_ready(struct life *life)
{
    if (life->ready)
        return;
    life->ready = true;
    monitor_log("serving at %s", net_server_address(life->monitor->server));
    if (life->common.ready_fd >= 0) {
        dprintf(life->common.ready_fd, "%s\n", net_server_address(life->monitor->server));
        close(life->common.ready_fd);
    }
}

/* Until SIGTERM, SIGINT or the lifeline's end. Returns the exit code. */
static int live(struct life *life)
{
    struct monitor *m = life->monitor;
    bool global = m->kind == COMPONENT_GLOBAL;
    uint64_t next_ms = clock_ms();

    if (global)
        say_ready(life);
    for (;;) {
        uint64_t now = clock_ms();
        if (!global && now >= next_ms) {
            if (registrar_beat(&life->registrar) < 0)
                return 1;
            if (life->registrar.registered)
                say_ready(life);
            now = clock_ms();
            next_ms = next_ms + HEARTBEAT_MS > now ? next_ms + HEARTBEAT_MS : now + HEARTBEAT_MS;
        }
        struct pollfd p[2] = {{.fd = life->signal_fd, .events = POLLIN},
                              {.fd = life->common.lifeline_fd, .events = POLLIN}};
        int rc = poll(p, 2, global ? -1 : (int)(next_ms > now ? next_ms - now : 0));
        if (rc < 0 && errno != EINTR)
            return 1;
        if (p[0].revents) {
            monitor_log("ending: asked to");
            return 0;
        }
        if (p[1].revents) {
            char byte;
            if (read(life->common.lifeline_fd, &byte, 1) <= 0) {
                monitor_log("ending: its lifeline closed");
                return 0;
            }
        }
    }
}

int monitor_main(struct monitor *m, int argc, char **argv)
{
    struct life life = {.monitor = m};
    int code = options_parse(m, &life.common, argc, argv);
    if (code >= 0)
        return code;
    log_set_name(m->name);
    if (fault_init(m->name) < 0) {
        monitor_log(
            "ASHLAR_FAULT is not COMPONENT:POINT:N or COMPONENT:POINT:N:MS, with N from 1 on");
        return 1;
    }
    prctl(PR_SET_NAME, m->program);
    raise_descriptor_limit();
    life.signal_fd = take_signals();
    if (life.signal_fd < 0 || load_key(m) < 0)
        return 1;
    if (m->start && m->start(m->self, m) < 0)
        return 1;

    int rc = net_server_start(m->listen, &m->key, m->id, m->ops, m->self, &m->server);
    if (rc < 0) {
        monitor_log("cannot listen at %s: %s", m->listen, error_text(rc));
        code = 1;
    } else {
        registrar_init(&life.registrar, m);
        code = live(&life);
        registrar_leave(&life.registrar);
        net_server_stop(m->server);
        m->server = NULL;
    }
    if (m->stop)
        m->stop(m->self);
    close(life.signal_fd);
    return code;
}
