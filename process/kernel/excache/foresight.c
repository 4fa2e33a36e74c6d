/* See foresight.h. */
#include "foresight.h"

#include <stdint.h>

enum {
    ONE = 1 << 10,        /* the share of lines that are written to again, in fixed point */
    ENOUGH = ONE * 3 / 4, /* a fault costs somewhat more than a line's way back */
    WEIGHT = 32,          /* the last outcome counts one part of so many */
    SAMPLE = 8,           /* of so many runs of lines one comes protected in any case */
};

/* Relaxed: what another thread adds at the same moment may be lost. */
static uint32_t again; /* the share, of late */
static uint32_t runs;

bool foresee_writes(void)
{
    return __atomic_load_n(&again, __ATOMIC_RELAXED) >= ENOUGH &&
           __atomic_add_fetch(&runs, 1, __ATOMIC_RELAXED) % SAMPLE != 0;
}

void foresight_learn(bool written)
{
    uint32_t share = __atomic_load_n(&again, __ATOMIC_RELAXED);
    share = written ? share + (ONE - share + WEIGHT - 1) / WEIGHT
                    : share - (share + WEIGHT - 1) / WEIGHT;
    __atomic_store_n(&again, share, __ATOMIC_RELAXED);
}
