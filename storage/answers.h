/*
 * What a client was answered last, over each of its lanes: a request whose answer was lost with its
 * connection comes again (WIRE_AGAIN), and what it asked for must not be done twice, where that
 * would make a difference: an append, an unlink, an open with O_EXCL.
 *
 * A lane has one request under way, so its last one is all that can come again. A request that
 * comes again while it is being done waits for that; and where it overtook itself, the first one
 * still in its broken connection's buffer, that is not done when it is read at last.
 */
#ifndef ASHLAR_STORAGE_ANSWERS_H
#define ASHLAR_STORAGE_ANSWERS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "limits.h"

struct answer {
    uint64_t request_id;
    uint64_t again_id; /* the last one that came again, 0: none did */
    bool known;        /* request_id was begun; without this the rest means nothing */
    bool busy;         /* and is being done */
    int status;
    uint8_t *body; /* malloc'd; NULL: it could not be kept */
    size_t size;
};

struct answers {
    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t done;
    struct answer lanes[LANES];
};

void answers_init(struct answers *answers);
void answers_free(struct answers *answers);

/*
 * Before a request is done. True: it has been already; *status and body[0..*size) are its answer,
 * body having room for `room` bytes. False: it is to be done, and answers_end() is due.
 */
bool answers_begin(struct answers *answers, uint64_t request_id, bool again, int *status,
                   uint8_t *body, size_t room, size_t *size);
/* It was done; `keep`: it matters, and this is its whole answer. */
void answers_end(struct answers *answers, uint64_t request_id, bool keep, int status,
                 const uint8_t *body, size_t size);

#endif
