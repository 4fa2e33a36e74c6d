/*
 * Stores: where the lines of shared segments are while they are not resident, one for each run.
 *
 * Lines of memory lie in an address space of the run's own, given out by the vRegion; it is made
 * when the first line leaves, and destroyed with the store. Its vRegions lie in parts at one or
 * more mComponents, as a process's do; a part whose mComponent is lost is looked for, and the
 * request that met the loss is repeated. Lines of files are read from and written to the run's
 * sComponent. Connections are bound as a process of the run is, so the components enforce what the
 * run may do.
 *
 * Everything here is called with segments.lock held, and waits for the components' answers.
 */
#ifndef ASHLAR_PROCESS_STORE_H
#define ASHLAR_PROCESS_STORE_H

#include "node.h"

struct store;

/* The run's store, a counted reference; NULL: out of memory. */
struct store *store_get(struct node *node, struct run *run);
struct store *store_hold(struct store *store);
void store_put(struct store *store);
/* Whether one of the node's has this address space. */
bool store_exists(const struct node *node, struct asid asid);

/* A vRegion of the store's space, whose lines are zero and of which `lines` are expected to be
   used. Returns its index or a negative error. */
int store_take_vregion(struct store *store, uint64_t lines) NET_CHECKED;
void store_give_vregion(struct store *store, uint32_t index);
/* Sends `count` (at most WRITE_MAX_LINES) lines of one vRegion; data: LINE_SIZE for each. */
int store_write_lines(struct store *store, const struct line_ref *lines, uint32_t count,
                      const struct iovec *data) NET_CHECKED;
/* Reads `count` (at most FETCH_MAX_LINES) lines of one vRegion that were written. */
int store_read_lines(struct store *store, struct vpn first, uint32_t count, void *to) NET_CHECKED;

/* Files. ASH_TIMEOUT and ASH_LOST: the sComponent is away. A file that is held is mapped shared on
   this pComponent alone; -EBUSY: it is on another one. */
int store_hold_file(struct store *store, const struct file_id *file, const char *path) NET_CHECKED;
void store_release_file(struct store *store, const struct file_id *file);
int store_stat_file(struct store *store, const struct file_id *file,
                    struct file_attr *attr) NET_CHECKED;
/* Returns the bytes read, fewer at the end of the file. size: at most FILE_IO_MAX. */
int store_read_file(struct store *store, const struct file_id *file, uint64_t offset, void *to,
                    uint32_t size) NET_CHECKED;
int store_write_file(struct store *store, const struct file_id *file, uint64_t offset,
                     const void *from, uint32_t size) NET_CHECKED;
int store_sync_file(struct store *store, const struct file_id *file) NET_CHECKED;
/* Makes a hole in it, of whole lines. */
int store_punch_file(struct store *store, const struct file_id *file, uint64_t offset,
                     uint64_t length) NET_CHECKED;

#endif
