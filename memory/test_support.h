/* What the tests of memory/ share: cmocka, a seeded generator, lines that say what they are. */
#ifndef ASHLAR_MEMORY_TEST_SUPPORT_H
#define ASHLAR_MEMORY_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "limits.h"

struct random {
    uint64_t state;
};

/* splitmix64 */
static inline uint64_t random_next(struct random *r)
{
    uint64_t x = r->state += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

static inline uint64_t random_below(struct random *r, uint64_t limit)
{
    return random_next(r) % limit;
}

/* A line whose every byte depends on `stamp`; stamp 0 is the line of zeros. */
static inline void line_make(uint8_t *line, uint64_t stamp)
{
    for (unsigned i = 0; i < LINE_SIZE / 8; i++) {
        uint64_t word = stamp ? stamp * 0x9e3779b97f4a7c15ull + i : 0;
        memcpy(line + i * 8, &word, 8);
    }
}

static inline int line_is(const uint8_t *line, uint64_t stamp)
{
    uint8_t expected[LINE_SIZE];
    line_make(expected, stamp);
    return memcmp(line, expected, LINE_SIZE) == 0;
}

#endif
