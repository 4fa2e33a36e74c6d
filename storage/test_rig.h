/*
 * For the tests: a real ashlar-global and a real ashlar-storage, each a process of its own, on
 * 127.0.0.1, a scratch directory, and one function for each message.
 *
 * The scratch directory has `rw`, which connections of rig_connect() may change, and `ro`.
 */
#ifndef ASHLAR_STORAGE_TEST_RIG_H
#define ASHLAR_STORAGE_TEST_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "errors.h"
#include "messages.h"
#include "net.h"

enum { RIG_TIMEOUT_MS = 10000 };

struct rig {
    char base[64]; /* the scratch directory, canonical */
    char rw[80], ro[80];
    struct net_key key;
    int global_pid, storage_pid;
    int lifeline[2]; /* the daemons end when the test does */
    char global_address[ADDRESS_LIMIT], storage_address[ADDRESS_LIMIT];
    unsigned descriptor_limit; /* RLIMIT_NOFILE of the storage daemon; 0: as it is */
    int uid;                   /* whom the storage daemon runs as; 0: as the test */
    char root[80];             /* --root, or "" */
};

/* Scratch directory, key and the global daemon; with the storage daemon where `daemons`. */
void rig_start(struct rig *rig);
void rig_start_storage(struct rig *rig);
/* kill -9, and waits for it. */
void rig_kill_storage(struct rig *rig);
/* Ends both with SIGTERM, checks that they end well, removes the scratch directory. */
void rig_stop(struct rig *rig);

struct net_conn *rig_connect_as(struct rig *rig, uint8_t scope, uint64_t run_id,
                                const char *writable);
struct net_conn *rig_connect(struct rig *rig);
/* A path in the scratch directory, in one of a few static buffers. */
const char *rig_path(struct rig *rig, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void rig_write_file(const char *path, const char *text);
void rig_assert_file(const char *path, const char *text);
/* How many descriptors the storage daemon has open. */
unsigned rig_descriptors(struct rig *rig);

/* ---- messages: each returns 0 or a negative error ---- */

int ask_open(struct net_conn *conn, const char *path, uint32_t flags, uint32_t mode,
             struct file_attr *attr);
int ask_reopen(struct net_conn *conn, const struct file_id *id, const char *path, uint32_t flags);
int ask_hold(struct net_conn *conn, const struct file_id *id);
int ask_release(struct net_conn *conn, const struct file_id *id);
/* Returns bytes. */
int64_t ask_read(struct net_conn *conn, const struct file_id *id, uint64_t offset, void *to,
                 uint32_t size);
int64_t ask_write(struct net_conn *conn, const struct file_id *id, uint64_t offset,
                  const void *from, uint32_t size);
int64_t ask_append(struct net_conn *conn, const struct file_id *id, const void *from, uint32_t size,
                   uint64_t *end);
int ask_file_stat(struct net_conn *conn, const struct file_id *id, struct file_attr *attr);
int ask_truncate(struct net_conn *conn, const struct file_id *id, uint64_t size);
int ask_allocate(struct net_conn *conn, const struct file_id *id, uint32_t mode, uint64_t offset,
                 uint64_t length);
int ask_seek(struct net_conn *conn, const struct file_id *id, uint64_t offset, bool hole,
             uint64_t *out);
int ask_sync(struct net_conn *conn, const struct file_id *id);
int ask_chmod(struct net_conn *conn, const struct file_id *id, const char *path, uint32_t mode);
int ask_setattr(struct net_conn *conn, const struct msg_file_setattr *request);
int ask_lock(struct net_conn *conn, const struct file_id *id, uint32_t pid, uint8_t kind,
             uint64_t start, uint64_t length);
/* Returns bytes of entries in out (DIR_REPLY_MAX bytes). */
int64_t ask_list(struct net_conn *conn, const struct file_id *id, uint64_t cookie, uint32_t size,
                 uint8_t *out);
int ask_stat(struct net_conn *conn, const char *path, bool nofollow, struct file_attr *attr);
int ask_access(struct net_conn *conn, const char *path, uint32_t mode);
/* out has PATH_LIMIT bytes, here and in ask_real and ask_elsewhere. */
int ask_readlink(struct net_conn *conn, const char *path, char *out);
int ask_real(struct net_conn *conn, const char *path, char *out);
int ask_unlink(struct net_conn *conn, const char *path, bool directory);
int ask_rename(struct net_conn *conn, const char *from, const char *to, uint32_t flags);
int ask_link(struct net_conn *conn, const struct file_id *id, const char *from, const char *to,
             bool follow);
int ask_symlink(struct net_conn *conn, const char *target, const char *path);
int ask_make(struct net_conn *conn, const char *path, uint32_t mode);
/* An open with a base: the open directory that the first `length` bytes of path named. */
int ask_open_at(struct net_conn *conn, const struct file_id *base, uint32_t length,
                const char *path, uint32_t flags, uint32_t resolve, struct file_attr *attr);
/* Where an open directory's name, of `length` bytes once, leads to now. */
int ask_real_at(struct net_conn *conn, const struct file_id *base, uint32_t length,
                const char *path, char *out);
/* A PATH_STAT that is expected to end elsewhere: fills the path and returns 0. */
int ask_elsewhere(struct net_conn *conn, const char *path, bool nofollow, char *out);

#endif
