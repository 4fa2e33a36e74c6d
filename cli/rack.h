/*
 * A rack's state on this machine: BASE/NAME, a directory of mode 0700 with
 *
 *   key         the cluster key
 *   rack.json   every daemon: name, kind, pid, start time, address
 *   NAME.log    each daemon's messages
 *   NAME.sock   the sockets of the process monitors
 *
 * BASE is $XDG_RUNTIME_DIR/ashlar, or /tmp/ashlar-UID where that variable names no directory that
 * can be used. A daemon is the recorded one where pid and start time agree, so
 * that files left by a reboot or a reused pid mislead nobody.
 * Who changes a rack holds its lock (flock of the directory); the lock goes with the descriptor.
 */
#ifndef ASHLAR_CLI_RACK_H
#define ASHLAR_CLI_RACK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "net.h"

#define RACK_DEFAULT        "default"
#define RACK_PRIVATE_PREFIX "run-" /* racks that a run started for itself: not for people */

enum {
    RACK_DAEMONS_MAX = 128,
    RACK_DIR_MAX = 256,
    RACK_FILE_MAX = 256,
    RACK_LOG_DIR_MAX = RACK_FILE_MAX + 32,
    RACK_SIZE_MAX = 24
};
#define RACK_MEMORY_LEAST  (1ull << 20)   /* of an mComponent */
#define RACK_EXCACHE_LEAST (256ull << 10) /* of a process: the node's smallest grant */

/* What the memory of an mComponent is, where it is not DRAM. */
struct memory_file {
    char path[RACK_FILE_MAX];
    uint64_t size_bytes; /* 0: there is no file */
};

struct daemon_record {
    char name[NAME_LIMIT];
    enum component_kind kind;
    pid_t pid;
    uint64_t started; /* ticks since boot, field 22 of /proc/PID/stat */
    char address[ADDRESS_LIMIT];
    struct memory_file file; /* of an mComponent */
};

struct rack {
    char name[NAME_LIMIT];
    char dir[RACK_DIR_MAX];
    int dir_fd;                   /* holds the lock where it is locked; -1 */
    uint64_t memory_size_bytes;   /* of each mComponent of DRAM */
    uint64_t excache_total_bytes; /* of each pComponent; 0: its own choice */
    char
        replica_dram[RACK_SIZE_MAX]; /* of each mComponent of DRAM, as it is told; "": its choice */
    char log_dir[RACK_LOG_DIR_MAX];  /* a directory of this rack's, for logs; "": dir */
    unsigned count;
    struct daemon_record daemons[RACK_DAEMONS_MAX];
};

/* The name that is meant: the option, ASHLAR_RACK, or the default. NULL (said) where it is wrong.
 */
const char *rack_choose_name(const char *option, bool *named);
bool rack_name_valid(const char *name);

/* The rack that an option names, or the default one: its name and dir alone, or what is recorded of
   it too. CLI_OK, or the exit code of what was said. */
int rack_name(struct rack *rack, const char *option);
int rack_open(struct rack *rack, const char *option);

/* Fills name and dir. Makes BASE; -EPERM (said) where it is not the caller's own and private. */
int rack_locate(struct rack *rack, const char *name) NET_CHECKED;
/* Makes the directory where `create`, and locks it, waiting for whoever has it. -ENOENT: no rack.
 */
int rack_lock(struct rack *rack, bool create) NET_CHECKED;
void rack_unlock(struct rack *rack);

/* Reads rack.json. -ENOENT: there is none; -EINVAL: it is no rack.json. */
int rack_load(struct rack *rack) NET_CHECKED;
int rack_save(const struct rack *rack) NET_CHECKED;
/* Makes a directory in `parent` for the logs of this rack alone. A negative errno (said). */
int rack_make_log_dir(struct rack *rack, const char *parent) NET_CHECKED;
/* Removes the directory and all in it, and that of its logs. */
int rack_remove(struct rack *rack) NET_CHECKED;
int rack_key(const struct rack *rack, struct net_key *key) NET_CHECKED;

struct daemon_record *rack_find(struct rack *rack, const char *name);
/* The first of a kind; NULL. */
struct daemon_record *rack_first(struct rack *rack, enum component_kind kind);
const char *rack_kind_name(enum component_kind kind);

/* A pidfd of the recorded process, -1 where it is gone. */
int daemon_open(const struct daemon_record *record);
bool daemon_alive(const struct daemon_record *record);
/* A process's start time; 0 where there is none. */
uint64_t daemon_start_time(pid_t pid);

/* Calls `each` for every rack of this user. */
void rack_each(void (*each)(const char *name, void *argument), void *argument);

#endif
