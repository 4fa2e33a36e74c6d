/*
 * For the test of the daemon: a real ashlar-global, ashlar-storage and ashlar-memory, each a
 * process of its own, on 127.0.0.1, with a key and a directory of files; and a function for each
 * message.
 */
#ifndef ASHLAR_MEMORY_TEST_RACK_H
#define ASHLAR_MEMORY_TEST_RACK_H

#include "net.h"
#include "test_support.h"

enum { RACK_TIMEOUT_MS = 3000 };

struct rack {
    char dir[64];
    struct net_key key;
    int lifeline[2]; /* the daemons end when the test does */
    int global_pid, storage_pid, memory_pid;
    char global[ADDRESS_LIMIT], storage[ADDRESS_LIMIT], memory[ADDRESS_LIMIT];
};

void rack_start(struct rack *rack, const char *memory_size);
void rack_start_storage(struct rack *rack);
void rack_kill_storage(struct rack *rack); /* kill -9 */
/* SIGTERM; asserts that the memory monitor returns 0. */
void rack_stop(struct rack *rack);

/* Connections to the memory monitor; rack_process() is bound to an address space. */
struct net_conn *rack_component(struct rack *rack);
struct net_conn *rack_process(struct rack *rack, struct asid asid);
struct net_conn *rack_storage(struct rack *rack);

/* ---- messages: each returns 0 or a negative error ---- */

struct asid ask_create(struct net_conn *conn);
int ask_clone(struct net_conn *conn, struct asid asid, struct asid *child);
int ask_destroy(struct net_conn *conn, struct asid asid);
int ask_reset(struct net_conn *conn, struct asid asid);
int ask_stat(struct net_conn *conn, struct asid asid, struct msg_space_stat_reply *reply);
int ask_grant(struct net_conn *conn, struct asid asid, uint32_t first, uint32_t count);
int ask_op(struct net_conn *conn, struct asid asid, uint8_t kind, uint64_t first, uint64_t count);
int ask_map_file(struct net_conn *conn, struct asid asid, uint64_t first, uint64_t count,
                 const struct file_attr *attr, uint64_t file_line, const char *path);
/* Writes `count` lines from `first`, with stamps stamp, stamp + 1... Returns the lines stored. */
int ask_write(struct net_conn *conn, struct asid asid, uint64_t first, uint32_t count,
              uint64_t stamp);
/* Fetches; kinds has room for count; data for count lines. Returns the lines answered. */
int ask_fetch(struct net_conn *conn, struct asid asid, uint64_t first, uint32_t count,
              uint8_t *kinds, uint8_t *data);
struct msg_ping_reply ask_ping(struct net_conn *conn);
int ask_open(struct net_conn *storage, const char *path, struct file_attr *attr);

#endif
