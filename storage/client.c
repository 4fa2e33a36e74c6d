/*
 * One connection: what it may change and which files it holds.
 *
 * The holds are a hash table with linear probing, at most half full, deletion by shifting back
 * (Knuth 6.4, algorithm R), so a look-up by the file's id is a probe or two and no lock.
 */
#include "client.h"

#include <stdlib.h>

enum {
    FIRST_SLOTS = 32,
};

static size_t slot_of(const struct client *client, const struct file_id *id)
{
    uint64_t h = (id->inode ^ (id->device << 40)) * 0x9e3779b97f4a7c15ull;
    return (h >> 20) & (client->slot_count - 1);
}

struct client *client_new(struct handles *handles)
{
    struct client *client = calloc(1, sizeof *client);
    if (!client)
        return NULL;
    client->handles = handles;
    client->slot_count = FIRST_SLOTS;
    client->holds = calloc(FIRST_SLOTS, sizeof *client->holds);
    client->buffer = malloc(FILE_IO_MAX);
    if (!client->holds || !client->buffer) {
        client_free(client);
        return NULL;
    }
    return client;
}

static void let_go(struct client *client, struct client_hold *hold)
{
    if (hold->writes)
        handles_writer_goes(client->handles, hold->file);
    handles_put(client->handles, hold->file);
}

void client_free(struct client *client)
{
    if (!client)
        return;
    for (size_t i = 0; client->holds && i < client->slot_count; i++)
        if (client->holds[i].file)
            let_go(client, &client->holds[i]);
    if (client->watcher)
        client->watcher->ops->close(client->watcher);
    rights_free(&client->caller.rights);
    free(client->holds);
    free(client->buffer);
    free(client);
}

/* The slot that holds the id, or the free one where it would go. */
static struct client_hold *probe(struct client *client, const struct file_id *id)
{
    size_t i = slot_of(client, id);
    while (client->holds[i].file && !file_id_equal(&client->holds[i].file->id, id))
        i = (i + 1) & (client->slot_count - 1);
    return &client->holds[i];
}

struct client_hold *client_find(struct client *client, const struct file_id *id)
{
    struct client_hold *hold = probe(client, id);
    return hold->file ? hold : NULL;
}

static bool grow(struct client *client)
{
    struct client bigger = {.slot_count = client->slot_count * 2};
    bigger.holds = calloc(bigger.slot_count, sizeof *bigger.holds);
    if (!bigger.holds)
        return false;
    for (size_t i = 0; i < client->slot_count; i++)
        if (client->holds[i].file)
            *probe(&bigger, &client->holds[i].file->id) = client->holds[i];
    free(client->holds);
    client->holds = bigger.holds;
    client->slot_count = bigger.slot_count;
    return true;
}

struct client_hold *client_hold(struct client *client, struct volume_file *file)
{
    struct client_hold *hold = client_find(client, &file->id);

    if (hold) {
        hold->count++;
        handles_put(client->handles, file);
        return hold;
    }
    if (client->hold_count * 2 >= client->slot_count && !grow(client)) {
        handles_put(client->handles, file);
        return NULL;
    }
    hold = probe(client, &file->id);
    *hold = (struct client_hold){.file = file, .count = 1};
    client->hold_count++;
    return hold;
}

void client_hold_writes(struct client *client, struct client_hold *hold)
{
    if (hold->writes)
        return;
    hold->writes = true;
    handles_writer_came(client->handles, hold->file);
}

/* Frees slot i and moves back what had to probe past it. */
static void remove_slot(struct client *client, size_t i)
{
    size_t mask = client->slot_count - 1;

    for (size_t j = (i + 1) & mask; client->holds[j].file; j = (j + 1) & mask) {
        size_t home = slot_of(client, &client->holds[j].file->id);
        if (((j - home) & mask) >= ((j - i) & mask)) {
            client->holds[i] = client->holds[j];
            i = j;
        }
    }
    client->holds[i] = (struct client_hold){0};
    client->hold_count--;
}

void client_release(struct client *client, const struct file_id *id)
{
    struct client_hold *hold = client_find(client, id);

    if (!hold || --hold->count > 0)
        return;
    struct client_hold gone = *hold;
    remove_slot(client, (size_t)(hold - client->holds));
    let_go(client, &gone);
}

struct volume_file *client_file(struct client *client, const struct file_id *id, bool *held)
{
    struct client_hold *hold = client_find(client, id);
    struct volume_file *file = hold ? hold->file : handles_get(client->handles, id);

    *held = hold != NULL;
    if (file)
        atomic_store_explicit(&file->recent, true, memory_order_relaxed);
    return file;
}

void client_done(struct client *client, struct volume_file *file, bool held)
{
    if (!held)
        handles_put(client->handles, file);
}

bool client_may_write(struct client *client, struct volume_file *file)
{
    struct client_hold *hold = client_find(client, &file->id);

    return (hold && hold->writable) || file->ops->writable(file, &client->caller.rights);
}
