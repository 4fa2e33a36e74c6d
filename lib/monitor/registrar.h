/*
 * A monitor's place in the registry: registers it, sends its heartbeats, registers it again when
 * the global managers were away or forgot it, takes it out at the end. Used by one thread only.
 */
#ifndef ASHLAR_LIB_MONITOR_REGISTRAR_H
#define ASHLAR_LIB_MONITOR_REGISTRAR_H

#include "monitor.h"

/* Beats in the second over which load is counted. */
enum { REGISTRAR_WINDOW = 1000 / HEARTBEAT_MS };

struct registrar {
    struct monitor *monitor;
    struct net_conn *conn;      /* NULL: not connected */
    struct net_conn *slow_conn; /* the one before, which did not answer in time; NULL */
    struct component_info self;
    uint64_t served[REGISTRAR_WINDOW]; /* the server's requests at the last beats, a ring */
    unsigned beats;
    bool registered; /* once, ever */
    bool complained; /* that the global managers are away; until they are back */
    bool told;       /* the monitor knows who was in the rack at the count `changes` */
    uint32_t changes;
};

void registrar_init(struct registrar *registrar, struct monitor *monitor);
/*
 * Brings the registry up to date: a heartbeat, or a registration where that is due; and the
 * monitor: who is in the rack, and whether it had been declared lost. Takes at most about half a
 * second. Returns 0, also when the global managers are away (it is to be called again after
 * HEARTBEAT_MS), or a negative error with which the monitor must end: the key is wrong, or another
 * process has taken its name. Both have been logged.
 */
int registrar_beat(struct registrar *registrar) NET_CHECKED;
/* Leaves the rack, where it is connected, and frees. */
void registrar_leave(struct registrar *registrar);

#endif
