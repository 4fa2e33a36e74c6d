/*
 * The three global managers, GPM, GMM and GSM: policies that rank the components of one kind.
 *
 * Coarse and occasional: they see the figures of the last heartbeat, and what has been placed since
 * then (so that a burst of placements spreads).
 */
#ifndef ASHLAR_GLOBAL_MANAGER_H
#define ASHLAR_GLOBAL_MANAGER_H

#include "messages.h"

/* What a manager sees of a component. */
struct manager_view {
    const struct component_info *info; /* as last reported */
    uint64_t placed;                   /* placements that its report may not show yet */
    uint64_t placed_bytes;             /* their expected need */
};

struct manager {
    const char *name;
    enum component_kind kind;
    /* The higher, the better. Equals are taken in turn. */
    uint64_t (*score)(const struct manager_view *view);
};

extern const struct manager gpm, gmm, gsm;

#endif
