/*
 * The global memory manager: a home, or the owner of a vRegion, is the mComponent with the most
 * free memory at its load.
 *
 * Load discounts free memory: one that serves LOAD_HALF requests a second, about what a core can,
 * counts as having half of what it has. Caches can be given up, so they count as free.
 */
#include "manager.h"

enum { LOAD_HALF = 100000 };

static uint64_t score(const struct manager_view *view)
{
    uint64_t size = view->info->size_bytes, used;
    if (__builtin_add_overflow(view->info->used_bytes, view->placed_bytes, &used) || used >= size)
        return 0;
    uint64_t load = view->info->load > UINT32_MAX ? UINT32_MAX : view->info->load;
    return (uint64_t)((unsigned __int128)(size - used) * LOAD_HALF / (LOAD_HALF + load));
}

const struct manager gmm = {.name = "GMM", .kind = COMPONENT_MEMORY, .score = score};
