/*
 * The global process manager: a new process goes to the pComponent with the fewest threads.
 */
#include "manager.h"

static uint64_t score(const struct manager_view *view)
{
    uint64_t threads;
    if (__builtin_add_overflow(view->info->load, view->placed, &threads))
        return 0;
    return UINT64_MAX - threads;
}

const struct manager gpm = {.name = "GPM", .kind = COMPONENT_PROCESS, .score = score};
