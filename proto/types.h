/*
 * The wrapped numbers and the small enumerations of the wire.
 *
 * Page numbers, address space ids and component ids are structures of one integer, so that the
 * compiler catches a mix-up; they cost nothing.
 */
#ifndef ASHLAR_PROTO_TYPES_H
#define ASHLAR_PROTO_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Address space id: unique in a rack for as long as it runs; 0 is none. */
struct asid {
    uint64_t n;
};

/* Virtual page number: address >> LINE_SHIFT. */
struct vpn {
    uint64_t n;
};

/* A component's number in the registry; 0 is none. */
struct component {
    uint16_t n;
};

enum component_kind {
    COMPONENT_PROCESS = 1,
    COMPONENT_MEMORY = 2,
    COMPONENT_STORAGE = 3,
    COMPONENT_GLOBAL = 4,
};

enum component_state {
    COMPONENT_UP = 1,
    COMPONENT_DOWN = 2, /* its lease ran out or its connection was refused */
    COMPONENT_DRAINING = 3, /* up; gets nothing new, and what it holds moves away */
};

/*
 * An address space has parts, each at one mComponent, under asids that differ in the lowest bits.
 * Part 0 is at the home.
 */
enum { PARTS_MAX = 16 };

static inline struct asid asid_part(struct asid first, uint32_t part)
{
    return (struct asid){first.n | part};
}

static inline struct asid asid_first(struct asid any)
{
    return (struct asid){any.n & ~(uint64_t)(PARTS_MAX - 1)};
}

/* What a process has met at the mComponent where a part of its memory was. */
enum locate_why {
    LOCATE_SILENT = 1, /* no answer yet, on a connection that stands */
    LOCATE_BROKEN = 2, /* the connection broke */
    LOCATE_MOVED = 3,  /* it said that the part is not there (any more) */
};

/* What an mComponent has of a part. */
enum space_role {
    ROLE_NONE = 0,
    ROLE_PRIMARY = 1, /* serves it */
    ROLE_REPLICA = 2, /* the second copy: takes the primary's place when that is lost */
};

/* What an authenticated connection may ask for. */
enum bind_scope {
    SCOPE_COMPONENT = 1, /* a monitor, or the CLI: everything */
    SCOPE_PROCESS = 2,   /* a process: its own address space and its vNode's volume */
};

enum vm_op_kind {
    VM_OP_MAP = 1, /* anonymous, private; replaces what was there */
    VM_OP_UNMAP = 2,
    VM_OP_PROTECT = 3,
    VM_OP_REMAP = 4,    /* moves [first, first + count) to `to`, replacing what was there */
    VM_OP_DISCARD = 5,  /* MADV_DONTNEED: lines go back to zero or to the file's content */
    VM_OP_MAP_FILE = 6, /* a private view of a file; replaces what was there */
};

enum line_kind {
    LINE_DATA = 1,     /* its bytes follow in the bulk */
    LINE_ZERO = 2,     /* all zero: no bytes follow */
    LINE_UNMAPPED = 3, /* in no vma */
    LINE_PAST_END = 4, /* of a file: SIGBUS */
    LINE_IO_ERROR = 5, /* the sComponent did not deliver it: SIGBUS */
};

enum sync_kind {
    SYNC_ALL = 0,
    SYNC_DATA = 1,   /* what reading the data needs */
    SYNC_VOLUME = 2, /* everything on the file system that the file is on */
};

enum lock_kind {
    LOCK_KIND_NONE = 0, /* unlock */
    LOCK_KIND_READ = 1,
    LOCK_KIND_WRITE = 2,
    LOCK_KIND_FLOCK_SHARED = 3,
    LOCK_KIND_FLOCK_EXCLUSIVE = 4,
    LOCK_KIND_FLOCK_NONE = 5,
};

enum lock_wait {
    LOCK_WAIT_NO = 0,
    LOCK_WAIT_BEGIN = 1, /* will be asked for again and again: -EDEADLK where that has no end */
    LOCK_WAIT_END = 2,   /* no longer: nothing is taken */
};

enum segment_kind {
    SEGMENT_ANONYMOUS = 1, /* a new one: zero at first, gone with its last mapping */
    SEGMENT_FILE = 2,      /* a file of an sComponent */
    SEGMENT_HOST = 3,      /* a memory file of the pComponent's host: memfd, /dev/shm */
    SEGMENT_SYSV = 4,      /* made by shmget, found by its id */
};

enum segment_change {
    SEGMENT_READ = 1, /* about to be read from the sComponent: what mappings changed goes there */
    SEGMENT_WRITTEN = 2, /* was written there: mappings are to show it */
    SEGMENT_RESIZED = 3, /* has another size there: from offset on */
};

/* What else is done to a memory file of the host that somebody has mapped. */
enum segment_host_call {
    SEGMENT_TRUNCATE = 1,
    SEGMENT_ALLOCATE = 2, /* fallocate, a hole among others */
    SEGMENT_SEEK = 3,     /* to data, or to a hole */
    SEGMENT_GET_SEALS = 4,
    SEGMENT_ADD_SEALS = 5,
};

/*
 * The page that every process of a node sees: bucket b is not 0 where a file whose segment_bucket()
 * is b has a segment; SEGMENT_HOST_BUCKET where any memory file of the host has.
 */
enum { SEGMENT_BUCKETS = 1024, SEGMENT_HOST_BUCKET = 0 };

static inline uint32_t segment_bucket(uint64_t device, uint64_t inode)
{
    uint64_t hash = (inode ^ device << 32) * 0x9e3779b97f4a7c15ull;
    return 1 + (uint32_t)((hash >> 32) % (SEGMENT_BUCKETS - 1));
}

enum xattr_op {
    XATTR_GET = 1,
    XATTR_SET = 2,
    XATTR_LIST = 3,
    XATTR_REMOVE = 4,
};

enum setattr_bits {
    SETATTR_MODE = 1,
    SETATTR_OWNER = 2, /* uid and gid; ~0 leaves one as it is */
    SETATTR_TIMES = 4,
    SETATTR_NOFOLLOW = 8,
};

#endif
