/*
 * Where the registry keeps what must outlive its daemon: which number each name has, and the last
 * epoch. A small interface, so that a rack can keep it elsewhere than in a file.
 */
#ifndef ASHLAR_GLOBAL_STORE_H
#define ASHLAR_GLOBAL_STORE_H

#include "net.h"

struct store_record {
    struct component id;
    uint8_t kind;   /* enum component_kind */
    uint32_t epoch; /* of its last registration */
    char name[NAME_LIMIT];
};

struct store_ops {
    /* Hands over every record, the latest of each number. */
    int (*load)(void *self, void (*each)(void *to, const struct store_record *record), void *to);
    /* Keeps a record; it replaces an older one of the same number. */
    int (*put)(void *self, const struct store_record *record);
    void (*close)(void *self);
};

struct store {
    const struct store_ops *ops;
    void *self;
};

/* The embedded store: the file `registry` in a directory. */
int store_file_open(const char *directory, struct store *out) NET_CHECKED;

#endif
