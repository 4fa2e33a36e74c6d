/* ELF files: checking them and mapping their segments. */
#ifndef ASHLAR_KERNEL_ELF_FILE_H
#define ASHLAR_KERNEL_ELF_FILE_H

#include <linux/elf.h>

#include "../mm/mm.h"
#include "loader.h"

enum { PHDRS_MAX = 64 };

/* The headers of an x86-64 executable or shared object. */
struct elf_headers {
    Elf64_Ehdr ehdr;
    Elf64_Phdr phdrs[PHDRS_MAX];
};

/* Reads and checks program->file, and finds its interpreter. 0, -ENOEXEC, -ELIBBAD, -EIO... */
int elf_examine(struct program *program) __attribute__((warn_unused_result));

/* Where a file was mapped. Addresses are the application's. */
struct elf_image {
    uint64_t entry, phdr_address, end; /* end: after the last segment's memory */
    uint64_t base;                     /* added to the file's own addresses */
    uint16_t phdr_count;
};
/* Where elf_map() puts a checked file; at `base` 0: how large it is. False: it is none any more. */
bool elf_range(const struct vnode_file *file, const struct file_head *head, uint64_t base,
               struct mm_range *out);
/* Maps a checked file: a PIE or an interpreter at `base` or where there is room (base 0). */
int elf_map(const struct vnode_file *file, const struct file_head *head, uint64_t base,
            struct elf_image *image) __attribute__((warn_unused_result));
/* Zeros what of its last lines is not the file's. Apart, as it is the first to touch lines: those
   of all that was mapped before come with them. */
int elf_clear(const struct vnode_file *file, const struct file_head *head,
              const struct elf_image *image) __attribute__((warn_unused_result));

#endif
