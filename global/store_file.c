/*
 * The embedded store: a text file of one line a registration, "EPOCH NUMBER KIND NAME", appended.
 *
 * The last line of a number counts. A line cut short by a crash is left out. Registrations are
 * rare, so the file is rewritten only when it is opened, by way of a new file and a rename.
 */
#include "store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NUMBERS = 1 << 16 };

struct store_file {
    FILE *file;
    struct store_record *records; /* by number; a kind of 0 is none. Freed after load */
};

static void read_lines(struct store_file *store, FILE *in)
{
    char line[64];
    while (fgets(line, sizeof line, in)) {
        unsigned epoch, id, kind;
        struct store_record record = {0};
        int n = 0;
        if (sscanf(line, "%u %u %u %15s%n", &epoch, &id, &kind, record.name, &n) != 4 ||
            line[n] != '\n' || id == 0 || id >= NUMBERS || kind == 0 || kind > COMPONENT_GLOBAL)
            continue;
        record.id.n = (uint16_t)id;
        record.kind = (uint8_t)kind;
        record.epoch = epoch;
        store->records[id] = record;
    }
}

static int put(void *self, const struct store_record *record)
{
    struct store_file *store = self;
    if (fprintf(store->file, "%u %u %u %s\n", record->epoch, record->id.n, record->kind,
                record->name) < 0 ||
        fflush(store->file) != 0)
        return -EIO;
    return 0;
}

static int load(void *self, void (*each)(void *to, const struct store_record *record), void *to)
{
    struct store_file *store = self;
    for (int i = 1; i < NUMBERS; i++)
        if (store->records[i].kind)
            each(to, &store->records[i]);
    free(store->records);
    store->records = NULL;
    return 0;
}

static void close_store(void *self)
{
    struct store_file *store = self;
    fclose(store->file);
    free(store->records);
    free(store);
}

static int rewrite(struct store_file *store, const char *path, const char *fresh)
{
    mode_t mask = umask(077);
    store->file = fopen(fresh, "we");
    umask(mask);
    if (!store->file)
        return -errno;
    for (int i = 1; i < NUMBERS; i++) {
        if (store->records[i].kind && put(store, &store->records[i]) < 0) {
            fclose(store->file);
            unlink(fresh);
            return -EIO;
        }
    }
    if (rename(fresh, path) < 0) {
        int rc = -errno;
        fclose(store->file);
        unlink(fresh);
        return rc;
    }
    return 0;
}

int store_file_open(const char *directory, struct store *out)
{
    static const struct store_ops ops = {.load = load, .put = put, .close = close_store};
    char path[PATH_MAX], fresh[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/registry", directory) >= (int)sizeof path ||
        snprintf(fresh, sizeof fresh, "%s/registry.new", directory) >= (int)sizeof fresh)
        return -ENAMETOOLONG;

    struct store_file *store = calloc(1, sizeof *store);
    if (!store)
        return -ENOMEM;
    store->records = calloc(NUMBERS, sizeof *store->records);
    int rc = store->records ? 0 : -ENOMEM;
    if (rc == 0) {
        FILE *in = fopen(path, "re");
        if (in) {
            read_lines(store, in);
            fclose(in);
        } else if (errno != ENOENT) {
            rc = -errno;
        }
    }
    if (rc == 0)
        rc = rewrite(store, path, fresh);
    if (rc < 0) {
        free(store->records);
        free(store);
        return rc;
    }
    *out = (struct store){.ops = &ops, .self = store};
    return 0;
}
