/*
 * Open file descriptions, as far as the storage monitor knows them: how many hold one.
 *
 * A description belongs to the programs (an open makes it; fork, exec and a message over a socket
 * hand it on) and is named by an id that only who has been given it knows. Here it is what flock
 * and OFD locks belong to: they end with its last holder.
 */
#ifndef ASHLAR_STORAGE_DESCRIPTION_H
#define ASHLAR_STORAGE_DESCRIPTION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "messages.h"

struct descriptions;

struct description {
    struct description *next; /* of its chain; protected by its shard's lock, as holders */
    unsigned holders;
    struct description_id id; /* never changes, as the file */
    struct file_id file;
    atomic_bool locks;  /* it has had locks. Relaxed: set by a holder, before it lets go */
    atomic_bool writes; /* opened for writing. Relaxed: only ever set */
};

/* NULL: out of memory. */
struct descriptions *descriptions_new(void);
void descriptions_free(struct descriptions *all);

/* One more holder of a description, which is made where it is not known. 0 or -ENOMEM,
   ASH_FORBIDDEN where it is another file's. */
int description_hold(struct descriptions *all, const struct description_id *id,
                     const struct file_id *file, struct description **out)
    __attribute__((warn_unused_result));
/* One holder less. True where that was the last one: the description is then the caller's to free,
   and nobody else knows it. */
bool description_let_go(struct descriptions *all, struct description *d)
    __attribute__((warn_unused_result));

size_t descriptions_count(struct descriptions *all);
bool description_id_is_zero(const struct description_id *id);
bool description_id_equal(const struct description_id *a, const struct description_id *b);

#endif
