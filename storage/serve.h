/*
 * The storage monitor's service: messages 0x05xx, answered from a volume.
 */
#ifndef ASHLAR_STORAGE_SERVE_H
#define ASHLAR_STORAGE_SERVE_H

#include "clients.h"
#include "logs.h"
#include "net.h"
#include "transit.h"

struct storage {
    struct volume *volume;
    struct holding holding;
    struct clients *clients;
    struct transit *transit;
    struct logs logs;     /* of the main thread's making; no logs before logs_init() */
    atomic_uint watching; /* connections that watch; relaxed, a hint to those that close files */
};

/*
 * Opens a volume, "KIND:SOURCE" or a directory alone. 0 or a negative errno (-EPROTONOSUPPORT: no
 * such kind). Stop it when no connection is left.
 */
int storage_start(struct storage *storage, const char *volume) CHECKED;
void storage_stop(struct storage *storage);

/* For net_server_start(), with a struct storage as its self. */
extern const struct net_server_ops storage_server_ops;

#endif
