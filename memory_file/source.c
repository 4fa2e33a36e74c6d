/*
 * See source.h. What is held at the sComponent is held by the connection, so every file is held
 * anew after that was lost: when it is read next, or mapped. Where the sComponent was restarted, it
 * knows no file (ASH_STALE_FILE) until it is opened again by its path.
 */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "deadline.h"

enum { IDLE_MS = 1000, RETRY_MS = 20, COMPONENTS_ASKED = 64 };

void source_init(struct source *source, struct monitor *monitor)
{
    *source = (struct source){.monitor = monitor};
    pthread_mutex_init(&source->turn_lock, NULL);
    deadline_cond_init(&source->turn_over);
}

static void free_mapped(struct mapped *file)
{
    free(file->path);
    free(file);
}

void source_free(struct source *source)
{
    for (struct mapped *f = source->files, *next; f; f = next) {
        next = f->next;
        free_mapped(f);
    }
    net_close(source->conn);
    pthread_cond_destroy(&source->turn_over);
    pthread_mutex_destroy(&source->turn_lock);
}

/* ---- which there are ---- */

struct mapped *source_find(struct source *source, struct file_id id, const char *path)
{
    struct mapped *f = source->files;
    while (f && memcmp(&f->id, &id, sizeof id))
        f = f->next;
    if (!f) {
        f = calloc(1, sizeof *f);
        if (!f)
            return NULL;
        *f = (struct mapped){.id = id, .path = strdup(path), .next = source->files};
        if (!f->path) {
            free(f);
            return NULL;
        }
        source->files = f;
    }
    f->refs++;
    return f;
}

void mapped_put(struct mapped *file)
{
    if (--file->refs == 0)
        file->idle_since_ms = clock_ms();
}

struct mapped *source_take_idle(struct source *source, uint64_t now_ms)
{
    for (struct mapped **at = &source->files, *f; (f = *at); at = &f->next) {
        if (f->refs || f->idle_since_ms + IDLE_MS > now_ms)
            continue;
        *at = f->next;
        return f;
    }
    return NULL;
}

/* ---- the connection ---- */

static unsigned left_ms(uint64_t deadline_ms)
{
    uint64_t now = clock_ms();
    return deadline_ms > now ? (unsigned)(deadline_ms - now) : 0;
}

/* The connection is this thread's until give_turn(). False: it could not be had in time. */
static bool take_turn(struct source *source, uint64_t deadline_ms)
{
    struct timespec until = deadline_timespec(deadline_ms);
    int rc = 0;
    pthread_mutex_lock(&source->turn_lock);
    while (source->busy && rc == 0)
        rc = pthread_cond_timedwait(&source->turn_over, &source->turn_lock, &until);
    bool ours = !source->busy;
    source->busy = true;
    pthread_mutex_unlock(&source->turn_lock);
    return ours;
}

static void give_turn(struct source *source)
{
    pthread_mutex_lock(&source->turn_lock);
    source->busy = false;
    pthread_cond_signal(&source->turn_over);
    pthread_mutex_unlock(&source->turn_lock);
}

/* Whether the connection is of no use after this error. */
static bool is_lost(int rc)
{
    return rc == ASH_LOST || rc == ASH_TIMEOUT || rc == ASH_MALFORMED || rc == ASH_CORRUPT ||
           rc == ASH_VERSION || rc == ASH_TOO_BIG;
}

static int connect_to(struct source *source, const char *address, uint64_t deadline_ms)
{
    static const struct msg_bind as_component = {.scope = SCOPE_COMPONENT, .writable = ""};
    if (!*address)
        return ASH_NO_COMPONENT;
    int rc = net_connect(address, &source->monitor->key, &as_component, left_ms(deadline_ms),
                         &source->conn, NULL);
    if (rc < 0)
        return rc;
    source->conn_number++;
    memmove(source->address, address, sizeof source->address);
    return 0;
}

/* Where the sComponent was last, else where the registry says that it is. */
static int ensure_connected(struct source *source, uint64_t deadline_ms)
{
    struct component_info list[COMPONENTS_ASKED];
    if (source->conn)
        return 0;
    int rc = connect_to(source, source->address, deadline_ms);
    int count = rc < 0 ? monitor_components(source->monitor, list, COMPONENTS_ASKED) : 0;
    for (int i = 0; i < count && rc < 0; i++)
        if (list[i].kind == COMPONENT_STORAGE && list[i].state == COMPONENT_UP)
            rc = connect_to(source, list[i].address, deadline_ms);
    return rc;
}

static int reopen(struct source *source, struct mapped *file, uint64_t deadline_ms)
{
    struct msg_file_reopen request = {.file = file->id, .flags = O_RDONLY, .path = file->path};
    struct msg_file_reopen_reply reply;
    if (file->held_over == source->conn_number)
        return 0;
    int rc =
        NET_CALL(source->conn, FILE_REOPEN, file_reopen, &request, &reply, left_ms(deadline_ms));
    if (rc == 0)
        file->held_over = source->conn_number;
    return rc;
}

static int read_held(struct source *source, struct mapped *file, uint64_t offset, uint32_t size,
                     uint8_t *out, uint64_t deadline_ms)
{
    struct msg_file_read request = {.file = file->id, .offset = offset, .length = size};
    struct msg_file_read_reply reply;
    int rc = reopen(source, file, deadline_ms);
    if (is_lost(rc) || !size)
        return rc;
    /* Though its path be gone: somebody else may have it open still. */
    rc = NET_CALL(source->conn, FILE_READ, file_read, &request, &reply, left_ms(deadline_ms));
    if (rc < 0)
        return rc;
    if (reply.data_size > size)
        return ASH_MALFORMED;
    memcpy(out, reply.data, reply.data_size);
    return (int)reply.data_size;
}

int source_read(struct source *source, struct mapped *file, uint64_t offset, uint32_t size,
                uint8_t *out, uint64_t deadline_ms)
{
    int rc;
    if (!take_turn(source, deadline_ms))
        return ASH_TIMEOUT;
    do {
        rc = ensure_connected(source, deadline_ms);
        if (rc == 0)
            rc = read_held(source, file, offset, size, out, deadline_ms);
        else
            rc = ASH_LOST;
        if (!is_lost(rc))
            break;
        net_close(source->conn);
        source->conn = NULL;
        if (left_ms(deadline_ms) > RETRY_MS)
            nanosleep(&(struct timespec){.tv_nsec = RETRY_MS * 1000000l}, NULL);
    } while (left_ms(deadline_ms) > RETRY_MS);
    give_turn(source);
    return rc;
}

void source_hold(struct source *source, struct mapped *file, uint64_t deadline_ms)
{
    (void)!source_read(source, file, 0, 0, NULL, deadline_ms);
}

void source_release(struct source *source, struct mapped *file, uint64_t deadline_ms)
{
    struct held held = {.file = file->id};
    struct msg_file_release request = {.files = &held, .files_count = 1};
    struct msg_file_release_reply reply;
    /* Not reached in time: it stays open there until this connection ends. */
    if (take_turn(source, deadline_ms)) {
        if (source->conn && file->held_over == source->conn_number &&
            is_lost(NET_CALL(source->conn, FILE_RELEASE, file_release, &request, &reply,
                             left_ms(deadline_ms)))) {
            net_close(source->conn);
            source->conn = NULL;
        }
        give_turn(source);
    }
    free_mapped(file);
}
