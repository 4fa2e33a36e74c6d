/*
 * Segments: memory that processes of this pComponent share, and files of sComponents that they map
 * shared.
 *
 * The resident lines of a segment lie in a memory file of the host (`fd`), which each process maps
 * where the program wants it and catches with its own userfaultfd. A line that is there is mapped
 * by the host; one that is not makes the thread that touches it ask here (SEGMENT_FETCH), and this
 * daemon brings it: whole pages, written into the file at once. Lines leave in the order in which
 * they came, when there would be more than `limit`: write-protected in every process that has them
 * mapped, compared with what is known of their content where they came from (so nobody keeps track
 * of writes), sent there if they differ, and punched out of the file, which unmaps them everywhere.
 *
 * Only this daemon moves lines, and no process holds a lock on any of it: a process may be killed
 * at any time.
 *
 * segments.lock protects everything here; it is held over requests to the components, so lines of
 * shared memory come and go one run of them at a time. It is taken before every other lock.
 */
#ifndef ASHLAR_PROCESS_SEGMENT_H
#define ASHLAR_PROCESS_SEGMENT_H

#include <xxhash.h>

#include "node.h"
#include "store.h"

enum {
    CHUNK_LINES = VREGION_LINES, /* of a segment: what one vRegion of the store holds */
    RUN_MAX_LINES = 64,          /* lines that come or leave together */
};
/* A segment has lines that a program can map. */
#define SEGMENT_LINES_MOST (WINDOW_END >> LINE_SHIFT)

struct segment;

/* A line that is in the segment's file. */
struct resident {
    struct resident *previous, *next; /* in the order in which they came */
    struct segment *segment;
    uint64_t line;
    uint64_t held; /* the shrinking (segments.shrinks) in which a robust list went through it */
    bool known;    /* digest is that of the content that the store has, or zero where it has none */
    XXH128_hash_t digest;
};

enum line_flags {
    LINE_STORED = 1, /* the store has content for it (memory) */
    LINE_MARKED = 2, /* it was protected when it left: marks of that may remain in processes */
};

struct segment_line {
    struct resident *resident; /* NULL: it is not in the file */
    uint8_t flags;
};

struct chunk {
    uint32_t vregion; /* of the store, 0: none yet */
    struct segment_line *lines;
};

struct attachment {
    struct attachment *next_of_segment, *next_of_sharer;
    struct segment *segment;
    struct sharer *sharer;
    struct vpn first;
    uint64_t count, line;
};

/* A process, as far as it shares memory. */
struct sharer {
    struct sharer *next;
    int uffd; /* -1: forked, and has not said so yet: it runs no code of the program */
    uint64_t limit;
    uint64_t robust;    /* address of its table of robust lists (contract/robust_list.h) */
    uint64_t looked_at; /* the look at robust lists that it was in last */
    struct attachment *attachments;
    struct process *process;
    struct segment *opened; /* a reference: what it opened last and may attach */
};

struct segment {
    struct segment *next;
    uint64_t number;
    enum segment_kind kind; /* never changes, as file and device, inode */
    struct file_id file;    /* SEGMENT_FILE */
    uint64_t device, inode; /* SEGMENT_HOST */
    uint32_t seals;         /* SEGMENT_HOST: that its file gets when the segment ends */
    unsigned refs;          /* attachments, and sharers that opened it */
    int fd;
    uint64_t size_bytes; /* SEGMENT_FILE: as last heard */
    struct store *store;
    struct chunk *chunks;
    uint64_t chunk_count;
    uint64_t expected; /* the line after the last run: who misses that one reads in order */
    uint32_t run;
    struct attachment *attachments;
    uint64_t attachment_count;
    struct shm *shm; /* that it is the memory of; NULL */
};

struct segments {
    pthread_mutex_t lock;
    struct node *node;
    struct segment *list;
    struct sharer *sharers;
    uint64_t last_number;
    struct resident *head, *tail; /* oldest first */
    uint64_t count, limit;        /* of resident lines, of all segments */
    uint32_t *buckets;            /* SEGMENT_BUCKETS, seen by every process */
    int buckets_fd;               /* read-only */
    uint8_t *buffer;              /* RUN_MAX_LINES */
    uint64_t looks;               /* at robust lists, so far */
    uint64_t shrinks;             /* times that lines had to leave, so far */
    uint64_t kept;                /* lines that stayed in the last of these, for they are held */
    struct shm *shms;
    uint32_t last_shm;
};

int segments_start(struct node *node) NET_CHECKED;
void segments_stop(struct node *node);
/* A process starts to be a fork of another: it has everything attached that its parent has. */
int segments_fork(struct node *node, struct process *parent, struct process *child) NET_CHECKED;
/* It ended, or executes another program. */
void segments_leave(struct node *node, struct process *process);
/* Whether an address space is that of memory which processes of a run share. */
bool segments_have_space(struct node *node, struct asid asid);
/* The page that tells which files have segments, for the process to map. */
int segments_buckets_fd(const struct node *node);

/* The SEGMENT_ requests of a seat. */
int segments_request(struct node *node, struct process *process, struct net_conn *conn,
                     const struct net_frame *frame) NET_CHECKED;

/* ---- segment_lines.c: lines that come and leave. The lock is held. ---- */

/* The lines that there are now; a negative error where the sComponent does not say. */
int64_t segment_size_lines(struct segment *segment) NET_CHECKED;
/* Brings a line, and those after it where that seems right. Returns enum line_kind or an error. */
int segment_fetch(struct segments *s, struct segment *segment, uint64_t line,
                  bool write) NET_CHECKED;
/* Lets lines leave until no more than `most` are resident. */
int segments_shrink(struct segments *s, uint64_t most) NET_CHECKED;
/* Writes what was changed in lines [line, line + count) of a file to the sComponent. */
int segment_flush(struct segments *s, struct segment *segment, uint64_t line,
                  uint64_t count) NET_CHECKED;
/* Bytes of the file were written at the sComponent: mappings show them from now on. */
int segment_refresh(struct segments *s, struct segment *segment, uint64_t offset,
                    uint64_t length) NET_CHECKED;
/* The file has another size, `size_bytes`, at the sComponent. */
void segment_resized(struct segments *s, struct segment *segment, uint64_t size_bytes);
/* What there is of a line that is resident; NULL: it is not. */
struct resident *segment_resident(struct segment *segment, uint64_t line);
/* Takes a line that has come into the file by another way for a resident one. */
int segment_add(struct segments *s, struct segment *segment, uint64_t line) NET_CHECKED;
/* Puts a line back into the file, where the store has it; does nothing for others. */
int segment_put_back(struct segments *s, struct segment *segment, uint64_t line) NET_CHECKED;
/* The same, and it is resident then. */
int segment_bring_back(struct segments *s, struct segment *segment, uint64_t line) NET_CHECKED;
/* The first of lines [line, end) that the store has, and the file has not; `end`: there is none. */
uint64_t segment_next_away(struct segment *segment, uint64_t line, uint64_t end);
/* Bytes [offset, offset + length) are a hole: of memory, or (whole lines) of a file. */
int segment_punch(struct segments *s, struct segment *segment, uint64_t offset,
                  uint64_t length) NET_CHECKED;
/* What a line of memory contains, wherever it is. */
int segment_line_content(struct segments *s, struct segment *segment, uint64_t line,
                         uint8_t *to) NET_CHECKED;
/* Forgets every line. */
void segment_empty(struct segments *s, struct segment *segment);

/* ---- segment_held.c ---- */

/*
 * Marks the resident lines, of all segments, that robust lists go through of the processes which
 * have this segment mapped. Those that count are write-protected, or a lock may be taken meanwhile.
 * The lock is held.
 */
void segment_mark_held(struct segments *s, const struct segment *segment);

/* ---- segment_host.c: the host's memory files. The lock is held. ---- */

struct stat;
/* 0 where fd is such a file, else a negative errno. */
int segment_host_identify(int fd, struct stat *st) NET_CHECKED;
/* The segment of a file; NULL: it has none. */
struct segment *segment_host_find(struct segments *s, int fd);
/* Makes a new segment that of a file. */
int segment_host_open(struct segment *segment, int fd) NET_CHECKED;
/* Takes what there is in a range of the file for resident lines. */
int segment_host_adopt(struct segments *s, struct segment *segment, uint64_t offset,
                       uint64_t length) NET_CHECKED;
/* Puts everything back into the file, and seals it as it is to be. */
int segment_host_restore(struct segments *s, struct segment *segment) NET_CHECKED;
/* As pread and pwrite do; a read returns its bytes. */
int segment_host_read(struct segments *s, struct segment *segment, uint64_t offset, uint32_t length,
                      uint8_t *to) NET_CHECKED;
int segment_host_write(struct segments *s, struct segment *segment, uint64_t offset,
                       const void *from, uint32_t length) NET_CHECKED;
/* The other calls, by a descriptor of the file that allows them; returns their results. */
int64_t segment_host_call(struct segments *s, struct segment *segment, int fd,
                          const struct msg_segment_host_call *call) NET_CHECKED;

/* ---- shm.c: System V shared memory. The lock is held. ---- */

struct shm;
/* SHM_GET, SHM_CONTROL. */
int shm_request(struct segments *s, struct process *process, struct net_conn *conn,
                const struct net_frame *frame) NET_CHECKED;
/* The segment of an id of the run; NULL: there is none. */
struct segment *shm_segment(struct segments *s, const struct run *run, uint64_t id);
/* A process attached the segment of one, or an attachment of it went. */
void shm_attached(struct segments *s, struct segment *segment, uint32_t pid, bool on);
/* The run has no process left: what it made goes. */
void shm_run_gone(struct segments *s, const struct run *run);

/* segment.c: a new anonymous segment, without references; and one reference less. */
int segment_new_anonymous(struct segments *s, struct run *run, uint64_t bytes,
                          struct segment **out) NET_CHECKED;
void segment_put(struct segments *s, struct segment *segment);

#endif
