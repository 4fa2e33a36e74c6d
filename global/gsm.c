/*
 * The global storage manager: the sComponent with the most free space.
 */
#include "manager.h"

static uint64_t score(const struct manager_view *view)
{
    uint64_t size = view->info->size_bytes, used = view->info->used_bytes;
    return used >= size ? 0 : size - used;
}

const struct manager gsm = {.name = "GSM", .kind = COMPONENT_STORAGE, .score = score};
