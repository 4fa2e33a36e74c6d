/*
 * The address space of the program, as its pComponent knows it.
 *
 * The vma array is a local copy of what the memory monitor holds (it is there that lines live and
 * survive); changes are made here at once and posted to the home in batches, before the next line
 * is fetched or written back (mm_flush). Ranges are private anonymous host mappings registered with
 * userfaultfd, with the application's own protection, so the host raises its SIGSEGVs.
 *
 * mm->lock: read for a miss or an eviction, write for any change of the vmas and for fork. Under
 * the write lock no line is filling or leaving.
 */
#ifndef ASHLAR_KERNEL_MM_H
#define ASHLAR_KERNEL_MM_H

#include <linux/mman.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../host/lock.h"
#include "limits.h"
#include "messages.h"

/* A file that vmas map, or a segment (shared.h); counted. */
struct vma_file {
    uint32_t users;
    uint64_t segment; /* 0: vmas of it are private */
    bool may_write;   /* segment: mprotect may make it writable */
    bool of_storage;  /* segment: of a file of an sComponent: msync means something */
    bool sysv;        /* segment: mapped by shmat */
    struct file_id id;
    uint64_t version, size_bytes;
    char path[PATH_LIMIT];
};

enum vma_name { VMA_PLAIN, VMA_HEAP, VMA_STACK };

struct vma {
    struct vpn first, end; /* lines [first, end) */
    struct vma_file *file; /* NULL: anonymous */
    uint64_t file_line;    /* index in the file of the line `first` */
    uint8_t prot;          /* PROT_* */
    uint8_t name;          /* enum vma_name */
    uint8_t flags;         /* enum vma_flags */
};

enum vma_flags {
    VMA_GROWS = 1,   /* MAP_GROWSDOWN, and the program's stack: a touch below it extends it */
    VMA_WIPE = 2,    /* MADV_WIPEONFORK */
    VMA_NO_FORK = 4, /* MADV_DONTFORK */
    VMA_LOCKED = 8,  /* mlock */
};

enum { VMA_MAX = 65530 };

/* Whether its lines are shared ones: the node's to bring and to take (shared.h), not the ExCache's.
 */
static inline bool vma_shared(const struct vma *v)
{
    return v->file && v->file->segment;
}

/* Where the loader put what the program was given; addresses of the program. Never changes. */
struct mm_layout {
    uint64_t stack;                                     /* the first stack pointer */
    uint64_t arguments, arguments_end, environment_end; /* strings; one follows the other */
};

struct mm {
    struct asid asid; /* never changes but in a fork child */
    struct rwlock lock;
    struct vma *vmas; /* sorted, disjoint; protected by lock */
    uint32_t vma_count;
    uint64_t lines, lines_most; /* of all vmas, and the most that there were; protected by lock */
    uint64_t present, present_most; /* lines with content, and the most that there were; relaxed */
    uint64_t locked_lines;      /* of those with VMA_LOCKED; written under lock, relaxed atomic */
    uint64_t memory_bytes;      /* of the home mComponent: what mmap may promise */
    uint64_t mapped_lines;      /* writable ones, for the heuristic of overcommit */
    uint64_t brk_start, brk;    /* bytes */
    uint64_t mmap_top;          /* mappings are given downwards from here */
    struct mm_layout layout;
    bool lock_future;       /* MCL_FUTURE */
    bool read_implies_exec; /* personality(READ_IMPLIES_EXEC), until the next execve */
    bool copied;            /* by a fork, or it is the copy; protected by lock */

    struct mutex ops_lock; /* order: after lock */
    struct vm_op *ops;     /* posted, not yet sent; OPS_MAX of them; protected by ops_lock */
    uint32_t ops_count;    /* written under ops_lock, read without (acquire) */

    int uffd;
    bool can_move;  /* UFFDIO_MOVE exists and was not turned off */
    bool can_share; /* the host's userfaultfd can protect shared memory (Linux 5.19) */
    struct excache *excache;
};

/* The one address space of this host process. */
extern struct mm mm;

/* What is mapped when `prot` is asked for. */
static inline int mm_prot(int prot)
{
    bool implied = prot & PROT_READ && __atomic_load_n(&mm.read_implies_exec, __ATOMIC_RELAXED);
    return implied ? prot | PROT_EXEC : prot;
}

/* Sets up an empty address space for asid. Needs the connections. Dies where the host can't. */
void mm_init(struct asid asid, uint64_t memory_bytes, uint64_t excache_bytes, int policy,
             bool no_move);

/* Addresses, whole lines, not empty. */
struct mm_range {
    uint64_t from, end;
};

/* What is about to be mapped, writable: its vRegions are granted, in one message. -ENOMEM. */
enum { EXPECTED_MAX = 4 };
int mm_expect(const struct mm_range *ranges, uint32_t count) __attribute__((warn_unused_result));

/*
 * mmap in its private forms: length and offset in bytes, flags as Linux's (MAP_FIXED,
 * MAP_FIXED_NOREPLACE, MAP_GROWSDOWN are looked at); file NULL is anonymous, else it is copied.
 * Returns the address or a negative errno.
 */
struct vnode_file;
long mm_map(uint64_t hint, uint64_t length, int prot, int flags, const struct vnode_file *file,
            uint64_t offset, enum vma_name name);
long mm_unmap(uint64_t address, uint64_t length);
long mm_protect(uint64_t address, uint64_t length, int prot);
long mm_remap(uint64_t from, uint64_t old_length, uint64_t new_length, int flags, uint64_t to);
/* MADV_DONTNEED. */
long mm_discard(uint64_t address, uint64_t length);
long mm_brk(uint64_t to);
/* Extends the mapping that grows down to an address. False: there is none, or it may not. */
bool mm_grow(uint64_t address);
/* How many bytes from an address on, at most length, lie in writable mappings, grown for that. */
uint64_t mm_writable(uint64_t address, uint64_t length);
/* Whether a range is mapped without a hole. */
bool mm_covered(uint64_t address, uint64_t length);
/* Bit 0 of out[i] tells whether line first + i is resident; -ENOMEM where one is not mapped. */
long mm_resident(struct vpn first, uint64_t count, uint8_t *out);

/* [first, end) out of bytes; false where it leaves the window, is empty or not aligned. */
bool mm_range(uint64_t address, uint64_t length, struct vpn *first, struct vpn *end);

/* advise.c; a hole is -ENOMEM, after what is mapped of the range was served: */
long mm_set_flags(uint64_t address, uint64_t length, unsigned set, unsigned clear);
void mm_set_all_flags(unsigned set, unsigned clear);
/* Whether every vma of a range is without the refused flags, and anonymous: else -EINVAL. */
long mm_check(uint64_t address, uint64_t length, unsigned refused, bool anonymous);
/* Makes lines resident, as far as the ExCache has room. -EINVAL: protection, -EFAULT: no content.
 */
long mm_populate(uint64_t address, uint64_t length, bool write);
/* The same for all that is mapped and can be, where the ExCache has room for what is locked. */
void mm_populate_all(void);
uint64_t mm_lines(void); /* of all vmas */
void mm_set_lock_future(bool on);
uint64_t mm_locked_lines(void);
uint64_t mm_locked_within(uint64_t address, uint64_t length);

/*
 * Sends what was posted and waits until the home has applied it. Called with mm.lock held, before
 * any request that names lines. Cheap where nothing is posted.
 */
void mm_flush(void);
/* The same where one of them maps a file: before the sComponent may let go of it. */
void mm_flush_files(void);

/* The vma that holds a line, or NULL. mm.lock is held. */
struct vma *mm_find(struct vpn page);
/* Index of the first vma that ends after page; vma_count where there is none. mm.lock is held. */
uint32_t mm_find_index(struct vpn page);

/* Before the host forks: takes every lock that a child could need, writes back nothing. */
void mm_fork_prepare(void);
/* After it, in the parent, and where the fork failed. */
void mm_fork_parent(void);
/* After it, in the child, before any application memory is touched. */
void mm_fork_child(struct asid child);

/* uffd.c: the host mappings under the vmas. A negative errno where the host refuses. */
int uffd_open(bool *can_move, bool *can_share);
long uffd_map(struct vpn first, struct vpn end, int prot);
void uffd_unmap(struct vpn first, struct vpn end);
long uffd_protect(struct vpn first, struct vpn end, int prot);
/* Moves mapped lines with their pages to a free place; every line there is write-protected then. */
long uffd_relocate(uint64_t from, uint64_t size, uint64_t to);
void uffd_register(uint64_t address, uint64_t size);
/* Fill an absent run of lines. 0, or a negative errno (-EEXIST, -ENOENT). */
int uffd_copy(uint64_t to, const void *from, uint64_t size, bool write_protect);
int uffd_zero(uint64_t to, uint64_t size);
int uffd_move(uint64_t to, uint64_t from, uint64_t size);
int uffd_write_protect(uint64_t address, uint64_t size, bool on);
/* Drops lines. */
void uffd_drop(uint64_t address, uint64_t size);
/* Drops all of them: one host call and one flush of the TLB, where the host can (Linux 6.14). */
struct uffd_piece { /* as struct iovec */
    uint64_t address, size;
};
void uffd_drop_all(const struct uffd_piece *pieces, uint32_t count);

static inline uint64_t vpn_address(struct vpn page)
{
    return page.n << LINE_SHIFT;
}

static inline struct vpn vpn_of(uint64_t address)
{
    return (struct vpn){address >> LINE_SHIFT};
}

#endif
