/*
 * The sComponents as what a log is written to (struct log_io): who they are, as the registry says,
 * and connections to them. Any thread.
 */
#ifndef ASHLAR_MEMORY_LOG_STORES_H
#define ASHLAR_MEMORY_LOG_STORES_H

#include "log.h"
#include "monitor.h"

enum { LOG_STORES_KNOWN = 32, LOG_STORE_IDLE = 4 };

struct log_stores {
    const struct monitor *monitor; /* its key never changes, its number once it is registered */

    pthread_mutex_t lock;
    /* Protected by lock: */
    struct known_store {
        struct component_info info;
        struct net_conn *idle[LOG_STORE_IDLE];
        unsigned idle_count;
    } stores[LOG_STORES_KNOWN];
    unsigned count;
};

extern const struct log_io log_stores_io; /* of a struct log_stores */

void log_stores_init(struct log_stores *stores, const struct monitor *monitor);
void log_stores_free(struct log_stores *stores);
/* Who is in the rack. */
void log_stores_update(struct log_stores *stores, const struct component_info *list, size_t count);

#endif
