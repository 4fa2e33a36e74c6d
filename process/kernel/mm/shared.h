/*
 * Shared memory, as a process has it: vmas of segments.
 *
 * A segment's lines are the node's to bring and to take (process/node/segment.h): they lie in a
 * memory file that it gave this process to map, MAP_SHARED, caught by this process's userfaultfd.
 * Nothing of the ExCache's own (line words, slots, staging) is about them; the process gives up a
 * part of its slots for good before it maps its first segment, and the node keeps no more lines
 * resident than the process that gave up fewest has given, so the bound holds for both together.
 *
 * A vma of a segment has a vma_file whose `segment` is its number. mm.lock protects it as others;
 * requests to the node are made under it.
 */
#ifndef ASHLAR_KERNEL_SHARED_H
#define ASHLAR_KERNEL_SHARED_H

#include "mm.h"

struct process;

/* What to map. */
struct shared_source {
    enum segment_kind kind;
    bool may_write;         /* the mapping may be, or become, writable */
    const char *name;       /* as /proc/self/maps shows it; SEGMENT_FILE: the path */
    struct file_attr *attr; /* SEGMENT_FILE; else NULL */
    int fd;                 /* SEGMENT_HOST: of the file */
    uint64_t id;            /* SEGMENT_SYSV */
};

/* The process whose seat is asked, and the node's page of segments (a descriptor, taken over). */
void shared_init(struct process *owner, int page_fd);

/* mmap, MAP_SHARED: as mm_map(). */
long shared_map(uint64_t hint, uint64_t length, int prot, int flags,
                const struct shared_source *source, uint64_t offset);

/* A fault on a line of a segment. mm.lock is held for reading. As enum excache_result, or... */
enum { SHARED_AWAY = 2 }; /* ...the sComponent behind it did not answer */
int shared_fault(const struct vma *vma, struct vpn page, bool write);

/* The following with mm.lock held for writing. The host mapping of a range is gone. */
void shared_detach(struct vpn first, struct vpn end);
/* Moves a part of a vma's host mapping to a free place. */
long shared_relocate(const struct vma *vma, struct vpn first, struct vpn end, struct vpn to);
/* Maps [first, end) as the continuation of a vma. */
long shared_extend(const struct vma *like, struct vpn first, struct vpn end);

/* mremap of no length: one more view of `count` lines from a page on. Returns its address. */
long shared_view(struct vpn page, uint64_t count, int flags, uint64_t to);

/* Whether this process has ever shared memory. */
bool shared_any(void);

/* In a forked child that its seat knows: before any memory of the program is touched. */
void shared_fork_child(void);

/* msync of a covered range: what was changed of files goes to the sComponent; durable: to its disk.
 */
long shared_sync(uint64_t address, uint64_t length, bool durable);

/* madvise(MADV_REMOVE) of whole lines. */
long shared_remove(uint64_t address, uint64_t length);

/* Whether some process of this node may have the file mapped shared: one load. */
bool shared_file(const struct file_id *id);
/*
 * Tells the node what happens to a file of an sComponent by other ways than mappings; does nothing
 * where !shared_file(). SEGMENT_READ: before it; the others: after it. 0 or a negative errno.
 */
int shared_change(const struct file_id *id, enum segment_change what, uint64_t offset,
                  uint64_t length);

/*
 * What is read from, written to, or done else by a descriptor of a memory file of the host that
 * somebody may have mapped: nothing is done, and false returned in *found, where nobody has.
 * Results as those of the host's calls. size: at most SEGMENT_IO_MAX.
 */
bool shared_host_files(void); /* whether there are any: one load */
long shared_pull(int fd, uint64_t offset, void *to, uint32_t size, bool *found);
long shared_push(int fd, uint64_t offset, const void *from, uint32_t size, bool *found);
/* The arguments as in SEGMENT_HOST_CALL. Does not ask where !shared_host_files(). */
long shared_host_call(int fd, enum segment_host_call call, uint32_t mode, uint64_t offset,
                      uint64_t length, bool *found);

/* SHM_GET and SHM_CONTROL. Return a negative errno or 0. */
long shared_shm_get(const struct msg_shm_get *request, uint32_t *id);
long shared_shm_control(const struct msg_shm_control *request, struct msg_shm_control_reply *reply);
/* The mapping that shmdt(address) is about: a segment of shmat mapped there from its first line. */
long shared_shm_unmap(uint64_t address);

#endif
