/*
 * Starting and ending a rack's daemons.
 *
 * All functions want the rack locked. Daemons are started at the same time (but for the global
 * one, whose address the others need) and say that they are ready on a descriptor of their own.
 */
#ifndef ASHLAR_CLI_DAEMONS_H
#define ASHLAR_CLI_DAEMONS_H

#include "rack.h"

enum { RACK_FILES_MAX = 8 };

struct rack_plan {
    unsigned memory, storage, process; /* how many of each */
    uint64_t memory_size_bytes;        /* of each; 0: half of the machine's memory over all */
    char replica_dram[RACK_SIZE_MAX];  /* as struct rack has it */
    char log_dir[RACK_FILE_MAX];       /* where a directory of logs is made; "": the rack's own */
    struct memory_file files[RACK_FILES_MAX]; /* of further mComponents */
    unsigned files_count;
    uint64_t excache_total_bytes; /* of each pComponent; 0: its own choice */
    int lifeline_fd;              /* handed to every daemon, -1 for none */
};

/* Makes the key, starts every daemon of the plan, records them. Says what went wrong. */
int daemons_start(struct rack *rack, const struct rack_plan *plan) NET_CHECKED;
/* Starts those of a known rack that are gone, each at its old address. Returns how many. */
int daemons_restart(struct rack *rack) NET_CHECKED;
/* Every daemon, recorded or not: SIGTERM, SIGKILL after two seconds; returns when none is left. */
void daemons_end(struct rack *rack);

/*
 * Where a program of Ashlar's lies: beside this one, in libexec/ashlar of its prefix, or in the
 * build tree. -ENOENT (said).
 */
int program_find(const char *program, char *path, size_t size) NET_CHECKED;

#endif
