/*
 * For the tests of the daemon: a real ashlar-global, ashlar-storage and up to RACK_MEMORIES
 * ashlar-memory, each a process of its own, on 127.0.0.1, with a key and a directory of files; and
 * a function for each message.
 */
#ifndef ASHLAR_MEMORY_TEST_RACK_H
#define ASHLAR_MEMORY_TEST_RACK_H

#include "net.h"
#include "test_support.h"

enum { RACK_TIMEOUT_MS = 3000, RACK_MEMORIES = 4 };

struct rack_memory {
    int pid; /* 0: it does not run */
    char address[ADDRESS_LIMIT];
    struct component id;
};

struct rack {
    char dir[64];
    struct net_key key;
    int lifeline[2]; /* the daemons end when the test does */
    int global_pid, storage_pid;
    char global[ADDRESS_LIMIT], storage[ADDRESS_LIMIT];
    struct rack_memory memories[RACK_MEMORIES]; /* named m1 and so on */
};

/* Further options of each memory monitor that is started, ended by NULL; NULL is none. */
extern char *const *rack_memory_options;

/* With m1 alone. */
void rack_start(struct rack *rack, const char *memory_size);
void rack_start_memory(struct rack *rack, int i, const char *size);
void rack_kill_memory(struct rack *rack, int i); /* kill -9 */
/* Asks the global managers to drain it, or no more. */
int rack_drain(struct rack *rack, int i, bool on);
/* Waits until a memory monitor is in that state for the global managers. */
void rack_await_state(struct rack *rack, int i, uint8_t state);
void rack_start_storage(struct rack *rack);
void rack_kill_storage(struct rack *rack); /* kill -9 */
void rack_kill_global(struct rack *rack);
/* How many programs a memory monitor reports to the global managers. */
uint32_t rack_processes(struct rack *rack, int i);
/* SIGTERM; asserts that the memory monitors return 0. */
void rack_stop(struct rack *rack);

/* Connections to a memory monitor, m1 if none is named; rack_process() is bound to an address
 * space.
 */
struct net_conn *rack_component(struct rack *rack);
struct net_conn *rack_process(struct rack *rack, struct asid asid);
struct net_conn *rack_component_at(struct rack *rack, int i);
struct net_conn *rack_process_at(struct rack *rack, int i, struct asid asid);
struct net_conn *rack_storage(struct rack *rack);

/* ---- messages: each returns 0 or a negative error ---- */

struct asid ask_create(struct net_conn *conn);
struct asid ask_create_with(struct net_conn *conn, uint32_t replicas);
/* `child` is 0 for a first part, and filled. */
int ask_clone(struct net_conn *conn, struct asid asid, struct asid *child);
int ask_destroy(struct net_conn *conn, struct asid asid);
int ask_reset(struct net_conn *conn, struct asid asid);
int ask_stat(struct net_conn *conn, struct asid asid, struct msg_space_stat_reply *reply);
int ask_grant(struct net_conn *conn, struct asid asid, uint32_t first, uint32_t count);
/* The same for lines that are to be written; says where they are. */
int ask_grant_lines(struct net_conn *conn, struct asid asid, uint32_t first, uint32_t count,
                    uint64_t lines, struct vregion_info *out);
int ask_locate(struct net_conn *conn, struct asid asid, struct component lost,
               struct msg_space_locate_reply *reply);
/* A numbered list of one change. */
int ask_serial(struct net_conn *conn, struct asid asid, uint64_t serial, const struct vm_op *op);
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
