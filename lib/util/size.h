/* Sizes as people write them: a whole number, then nothing or one of K M G T (powers of 1024). */
#ifndef ASHLAR_LIB_SIZE_H
#define ASHLAR_LIB_SIZE_H

#include <stdint.h>

/* "64M" or "64MiB" to bytes. -EINVAL where it is no size, -ERANGE where it does not fit. */
int size_parse(const char *text, uint64_t *bytes) __attribute__((warn_unused_result));

#endif
