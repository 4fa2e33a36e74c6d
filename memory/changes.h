/*
 * Changes of an address space as requests bring them (SPACE_OPS, LINE_FETCH): checked, applied in
 * order.
 */
#ifndef ASHLAR_MEMORY_CHANGES_H
#define ASHLAR_MEMORY_CHANGES_H

#include "memory.h"

struct changes {
    uint64_t serial; /* 0: not numbered */
    const struct vm_op *ops;
    const struct mapped_file *files; /* that VM_OP_MAP_FILE refers to */
    const uint8_t *paths;            /* of the files, each with its NUL */
    uint32_t ops_count, files_count, paths_size;
};

/*
 * Applies them, unless a list of that number was applied before. Nothing is applied where they are
 * malformed or too many; else what comes before an operation that fails is. A file that the
 * sComponent does not hold open within HOLD_TIMEOUT_MS is mapped all the same: its lines are errors
 * until it can be read.
 */
int changes_apply(struct memory *memory, struct space *space, const struct changes *changes)
    __attribute__((warn_unused_result));

/* Whether a list is well made; what changes_apply() begins with. */
int changes_check(const struct changes *changes) __attribute__((warn_unused_result));

/* Has the files held that a list names, with a reference each in files[OPS_FILES_MAX]; and lets
   them go. Only `files` and `paths` of it matter. */
int changes_hold_files(struct memory *memory, const struct changes *changes, struct file **files)
    __attribute__((warn_unused_result));
void changes_let_files_go(const struct changes *changes, struct file *const *files);

#endif
