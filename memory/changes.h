/*
 * Changes of an address space as requests bring them (SPACE_OPS, LINE_FETCH): checked, applied in
 * order.
 */
#ifndef ASHLAR_MEMORY_CHANGES_H
#define ASHLAR_MEMORY_CHANGES_H

#include "memory.h"

struct changes {
    const struct vm_op *ops;
    const struct mapped_file *files; /* that VM_OP_MAP_FILE refers to */
    const uint8_t *paths;            /* of the files, each with its NUL */
    uint32_t ops_count, files_count, paths_size;
};

/*
 * Applies them. Nothing is applied where they are malformed or too many; else what comes before an
 * operation that fails is. A file that the sComponent does not hold open within HOLD_TIMEOUT_MS is
 * mapped all the same: its lines are errors until it can be read.
 */
int changes_apply(struct memory *memory, struct space *space, const struct changes *changes)
    __attribute__((warn_unused_result));

#endif
