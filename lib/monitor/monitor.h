/*
 * What every monitor's main() is made of: options, registration, heartbeats, serving, ending.
 *
 * A monitor fills a struct monitor and calls monitor_main(), which parses the common options,
 * loads the key, listens, registers with the global managers, says that it is ready, sends
 * heartbeats with its load, registers again when the registry forgot it, and on SIGTERM or SIGINT
 * (or when its lifeline closes) leaves the rack and returns an exit code. While the global managers
 * are away it serves on. SIGTERM and SIGINT are blocked in every thread: a monitor that executes
 * other programs must unblock them there. `net_server_set_usage()` is the monitor's to call, for
 * the figures of PING.
 */
#ifndef ASHLAR_LIB_MONITOR_H
#define ASHLAR_LIB_MONITOR_H

#include "net.h"

struct monitor_option {
    const char *name;     /* such as "size" */
    const char *argument; /* of its value, shown in --help, such as "SIZE"; NULL: it has none */
    const char *help;
    /* Returns 0 or a negative errno: the value is then reported as wrong. May be repeated. */
    int (*set)(void *self, const char *value);
};

struct monitor {
    const char *program; /* ashlar-memory */
    const char *summary; /* one line for --help */
    enum component_kind kind;
    const struct monitor_option *options; /* of its own, ended by a NULL name */
    const struct net_server_ops *ops;
    void *self; /* handed to every call */

    /* After the options are parsed, before listening. Negative: the monitor ends, with a message
       that `start` has printed with monitor_log(). May be NULL. */
    int (*start)(void *self, struct monitor *monitor);
    /* Fills size_bytes, used_bytes, cached_bytes, processes for a heartbeat, on the main thread;
       and load, where that is not the requests served in the last second, which it holds already.
     */
    void (*report)(void *self, struct component_info *info);
    /* The components of the rack, whenever they have changed; on the main thread, the list is
       valid during the call only. May be NULL. */
    void (*members)(void *self, const struct component_info *list, size_t count);
    uint64_t members_ms; /* the registrar's: when that list was known to be true last */
    /* The registry had declared this component lost: others may have taken its place. Called on the
       main thread before it registers again. May be NULL. */
    void (*fenced)(void *self);
    /* After the server has stopped. May be NULL. */
    void (*stop)(void *self);

    /* Filled by monitor_main() before start: */
    char name[NAME_LIMIT];
    char listen[ADDRESS_LIMIT];
    char global_address[ADDRESS_LIMIT]; /* empty for the global daemon itself */
    const char *rack_dir;               /* the rack's state directory, mode 0700 */
    struct net_key key;
    struct component id;       /* after registration */
    struct net_server *server; /* after listening */
};

/*
 * Common options: --name NAME --rack-dir DIR (its file `key` is the cluster key) --listen ADDRESS
 * (default 127.0.0.1:0) --global ADDRESS --ready-fd N (writes "ADDRESS\n" there once registered,
 * and closes it) --lifeline-fd N (ends when the other end closes) --log-level; --help, --version.
 * Returns the process's exit code.
 */
int monitor_main(struct monitor *monitor, int argc, char **argv) NET_CHECKED;

/*
 * Asks the registry for the components of the rack now. Any thread but the main one, over a
 * connection of its own. Returns how many, at most limit, or a negative error where the registry
 * does not answer.
 */
int monitor_components(struct monitor *monitor, struct component_info *out,
                       size_t limit) NET_CHECKED;

/* One line on stderr (the rack's log file): time, component, text. Any thread. */
void monitor_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
