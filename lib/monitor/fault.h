/*
 * Points of failure: a daemon that dies where a test wants it to, or is late there.
 *
 * ASHLAR_FAULT="COMPONENT:POINT:N" in the environment of a daemon of that name has it kill itself
 * when it passes that point for the Nth time since it was started; "COMPONENT:POINT:N:MS" has the
 * thread that does sleep there for so long, as on a machine that is starved of CPUs. Without it a
 * point costs one load. docs/architecture.md has the list of points.
 */
#ifndef ASHLAR_LIB_MONITOR_FAULT_H
#define ASHLAR_LIB_MONITOR_FAULT_H

#include <stdbool.h>

/* Set by fault_init(), before any thread is started. */
extern bool fault_armed;

/* Reads the environment; `name` is the component's. -EINVAL where that is not of the form above. */
int fault_init(const char *name) __attribute__((warn_unused_result));
void fault_pass(const char *point);

static inline void fault_point(const char *point)
{
    if (__builtin_expect(fault_armed, 0))
        fault_pass(point);
}

#endif
