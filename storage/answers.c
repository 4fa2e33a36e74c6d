/* See answers.h. The lock is held over the copying of an answer, of a path's size at most. */
#include "answers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void answers_init(struct answers *answers)
{
    *answers = (struct answers){0};
    pthread_mutex_init(&answers->lock, NULL);
    pthread_cond_init(&answers->done, NULL);
}

void answers_free(struct answers *answers)
{
    for (unsigned i = 0; i < LANES; i++)
        free(answers->lanes[i].body);
    pthread_cond_destroy(&answers->done);
    pthread_mutex_destroy(&answers->lock);
}

static struct answer *lane_of(struct answers *answers, uint64_t request_id)
{
    return &answers->lanes[request_id >> LANE_SHIFT];
}
_Static_assert(LANES == 1u << (64 - LANE_SHIFT), "a lane's number is the rest of the id");

bool answers_begin(struct answers *answers, uint64_t request_id, bool again, int *status,
                   uint8_t *body, size_t room, size_t *size)
{
    struct answer *a = lane_of(answers, request_id);

    pthread_mutex_lock(&answers->lock);
    while (again && a->known && a->request_id == request_id && a->busy)
        pthread_cond_wait(&answers->done, &answers->lock);
    bool done = again && a->known && a->request_id == request_id;
    bool overtaken = !again && a->again_id && a->again_id == request_id;
    if (overtaken) {
        *status = -EIO; /* over a connection that nobody reads from */
        *size = 0;
    } else if (done) {
        *status = a->status;
        *size = 0;
        if (a->body && a->size <= room) {
            memcpy(body, a->body, a->size);
            *size = a->size;
        } else if (a->size) {
            *status = -EIO; /* done, and nobody can say how */
        }
    } else {
        free(a->body);
        *a = (struct answer){.request_id = request_id,
                             .again_id = again ? request_id : a->again_id,
                             .known = true,
                             .busy = true};
    }
    pthread_mutex_unlock(&answers->lock);
    return done || overtaken;
}

void answers_end(struct answers *answers, uint64_t request_id, bool keep, int status,
                 const uint8_t *body, size_t size)
{
    struct answer *a = lane_of(answers, request_id);
    uint8_t *copy = keep && size ? malloc(size) : NULL;

    if (copy)
        memcpy(copy, body, size);
    pthread_mutex_lock(&answers->lock);
    if (a->request_id == request_id && a->busy) {
        a->busy = false;
        a->known = keep;
        a->status = status;
        a->body = copy;
        a->size = size;
        copy = NULL;
        pthread_cond_broadcast(&answers->done);
    }
    pthread_mutex_unlock(&answers->lock);
    free(copy);
}
