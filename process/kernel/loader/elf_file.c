/*
 * ELF files: checking them and mapping their segments.
 *
 * The file is hostile: every offset and size is bounded before use, and what does not fit the
 * window is refused. Messages: one FILE_READ for the headers (they are in the first line of every
 * file that linkers make), one MAP_FILE a segment.
 */
#include <linux/mman.h>

#include "../entry/stubs.h"
#include "../host/host.h"
#include "../mm/mm.h"
#include "../mm/uaccess.h"
#include "elf_file.h"

#define MAP_FIXED 0x10

static uint64_t page_down(uint64_t n)
{
    return n & ~(uint64_t)(LINE_SIZE - 1);
}

static uint64_t page_up(uint64_t n)
{
    return page_down(n + LINE_SIZE - 1);
}

static int read_headers(const struct vnode_file *file, const struct file_head *head,
                        struct elf_headers *h)
{
    uint8_t first[LINE_SIZE];
    long n = files_read_head(file, head, 0, first, sizeof first);
    if (n < 0)
        return (int)n;
    if ((size_t)n < sizeof h->ehdr)
        return -ENOEXEC;
    memcpy(&h->ehdr, first, sizeof h->ehdr);
    const Elf64_Ehdr *e = &h->ehdr;
    if (memcmp(e->e_ident, ELFMAG, SELFMAG) != 0 || e->e_ident[EI_CLASS] != ELFCLASS64 ||
        e->e_ident[EI_DATA] != ELFDATA2LSB || e->e_machine != EM_X86_64 ||
        (e->e_type != ET_EXEC && e->e_type != ET_DYN) || e->e_phentsize != sizeof(Elf64_Phdr) ||
        e->e_phnum == 0 || e->e_phnum > PHDRS_MAX)
        return -ENOEXEC;
    uint32_t size = e->e_phnum * (uint32_t)sizeof(Elf64_Phdr);
    if (e->e_phoff <= (uint64_t)n && size <= (uint64_t)n - e->e_phoff) {
        memcpy(h->phdrs, first + e->e_phoff, size);
        return 0;
    }
    n = files_read_at(file, e->e_phoff, h->phdrs, size);
    return n < 0 ? (int)n : n == size ? 0 : -ENOEXEC;
}

/* The span of the segments, page-aligned; false where they are out of all bounds. */
static bool span(const struct elf_headers *h, uint64_t *low, uint64_t *high)
{
    *low = WINDOW_END;
    *high = 0;
    for (int i = 0; i < h->ehdr.e_phnum; i++) {
        const Elf64_Phdr *p = &h->phdrs[i];
        if (p->p_type != PT_LOAD || p->p_memsz == 0)
            continue;
        if (p->p_filesz > p->p_memsz || p->p_memsz > WINDOW_END || p->p_vaddr > WINDOW_END ||
            p->p_vaddr + p->p_memsz > WINDOW_END || p->p_offset > WINDOW_END ||
            (p->p_vaddr - p->p_offset) % LINE_SIZE)
            return false;
        if (page_down(p->p_vaddr) < *low)
            *low = page_down(p->p_vaddr);
        if (page_up(p->p_vaddr + p->p_memsz) > *high)
            *high = page_up(p->p_vaddr + p->p_memsz);
    }
    return *low < *high;
}

static int find_interpreter(struct program *program, const struct elf_headers *h)
{
    for (int i = 0; i < h->ehdr.e_phnum; i++) {
        const Elf64_Phdr *p = &h->phdrs[i];
        char path[256];
        if (p->p_type != PT_INTERP)
            continue;
        if (p->p_filesz < 2 || p->p_filesz > sizeof path)
            return -ENOEXEC;
        long n = files_read_head(&program->file, &program->head, p->p_offset, path,
                                 (uint32_t)p->p_filesz);
        if (n < 0)
            return (int)n;
        if ((uint64_t)n != p->p_filesz || path[n - 1] != 0)
            return -ENOEXEC;
        struct elf_headers inner;
        uint64_t low, high;
        files_close_exec(&program->interpreter);
        int rc = files_open_exec(path, &program->interpreter, &program->interpreter_head);
        if (rc == 0)
            rc = read_headers(&program->interpreter, &program->interpreter_head, &inner);
        if (rc == 0 && (inner.ehdr.e_type != ET_DYN || !span(&inner, &low, &high)))
            rc = -ENOEXEC;
        program->has_interpreter = true;
        return rc == -ENOEXEC ? -ELIBBAD : rc;
    }
    program->has_interpreter = false;
    return 0;
}

int elf_examine(struct program *program)
{
    struct elf_headers h;
    uint64_t low, high;
    int rc = read_headers(&program->file, &program->head, &h);
    if (rc < 0)
        return rc;
    if (!span(&h, &low, &high) || (h.ehdr.e_type == ET_EXEC && low < WINDOW_START))
        return -ENOEXEC;
    return find_interpreter(program, &h);
}

static int segment_prot(const Elf64_Phdr *p)
{
    return (p->p_flags & PF_R ? PROT_READ : 0) | (p->p_flags & PF_W ? PROT_WRITE : 0) |
           (p->p_flags & PF_X ? PROT_EXEC : 0);
}

/* The file's part of a segment, then lines of zeros; elf_clear() is owed for the line between. */
static int map_segment(const struct vnode_file *file, const Elf64_Phdr *p, uint64_t base)
{
    uint64_t start = base + page_down(p->p_vaddr), skew = p->p_vaddr % LINE_SIZE;
    uint64_t file_end = base + p->p_vaddr + p->p_filesz;
    uint64_t memory_end = page_up(base + p->p_vaddr + p->p_memsz);
    uint64_t zeros_from = start;
    int prot = segment_prot(p);
    long rc = 0;

    if (p->p_filesz) {
        rc =
            mm_map(start, p->p_filesz + skew, prot, MAP_FIXED, file, p->p_offset - skew, VMA_PLAIN);
        zeros_from = page_up(file_end);
    }
    if (rc >= 0 && memory_end > zeros_from)
        rc = mm_map(zeros_from, memory_end - zeros_from, prot, MAP_FIXED, NULL, 0, VMA_PLAIN);
    return rc < 0 ? (int)rc : 0;
}

int elf_clear(const struct vnode_file *file, const struct file_head *head,
              const struct elf_image *image)
{
    struct elf_headers h;
    int rc = read_headers(file, head, &h);
    for (int i = 0; rc == 0 && i < h.ehdr.e_phnum; i++) {
        const Elf64_Phdr *p = &h.phdrs[i];
        uint64_t file_end = image->base + p->p_vaddr + p->p_filesz;
        if (p->p_type == PT_LOAD && p->p_filesz && p->p_memsz > p->p_filesz && p->p_flags & PF_W &&
            file_end < page_up(file_end))
            rc = user_zero(file_end, page_up(file_end) - file_end);
    }
    return rc;
}

bool elf_range(const struct vnode_file *file, const struct file_head *head, uint64_t base,
               struct mm_range *out)
{
    struct elf_headers h;
    uint64_t low, high;
    if (read_headers(file, head, &h) < 0 || !span(&h, &low, &high))
        return false;
    base = h.ehdr.e_type == ET_EXEC ? 0 : base;
    *out = (struct mm_range){base + low, base + high};
    return out->from < out->end && out->end <= WINDOW_END;
}

int elf_map(const struct vnode_file *file, const struct file_head *head, uint64_t base,
            struct elf_image *image)
{
    struct elf_headers h;
    uint64_t low, high;
    int rc = read_headers(file, head, &h);
    if (rc < 0)
        return rc;
    if (!span(&h, &low, &high))
        return -ENOEXEC;
    if (h.ehdr.e_type == ET_EXEC) {
        base = 0;
        stubs_give(low, high);
    } else if (base == 0) {
        /* Room for the whole of it first, so that its segments stay together. */
        long at = mm_map(0, high - low, PROT_NONE, 0, NULL, 0, VMA_PLAIN);
        if (at < 0)
            return (int)at;
        base = (uint64_t)at - low;
    }
    *image = (struct elf_image){.entry = base + h.ehdr.e_entry,
                                .base = base,
                                .end = base + high,
                                .phdr_count = h.ehdr.e_phnum};
    for (int i = 0; i < h.ehdr.e_phnum && rc == 0; i++) {
        const Elf64_Phdr *p = &h.phdrs[i];
        if (p->p_type == PT_PHDR)
            image->phdr_address = base + p->p_vaddr;
        if (p->p_type != PT_LOAD || p->p_memsz == 0)
            continue;
        /* Without PT_PHDR: where the segment that holds the headers puts them. */
        if (!image->phdr_address && h.ehdr.e_phoff >= p->p_offset &&
            h.ehdr.e_phoff - p->p_offset < p->p_filesz)
            image->phdr_address = base + p->p_vaddr + (h.ehdr.e_phoff - p->p_offset);
        rc = map_segment(file, p, base);
    }
    return rc;
}
