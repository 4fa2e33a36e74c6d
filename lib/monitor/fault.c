/* See fault.h. SIGKILL, so that nothing is told or tidied up, as where a machine fails. */
#include "fault.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "monitor.h"

bool fault_armed;

/* Set by fault_init(); the text is the environment's own. */
static const char *fault_at;
static size_t fault_at_size;
static unsigned long fault_count, fault_delay_ms; /* 0: it dies */
static atomic_ulong passed;

int fault_init(const char *name)
{
    const char *text = getenv("ASHLAR_FAULT");
    if (!text)
        return 0;
    const char *point = strchr(text, ':');
    const char *count = point ? strchr(point + 1, ':') : NULL;
    char *end;
    if (!count)
        return -EINVAL;
    fault_count = strtoul(count + 1, &end, 10);
    if (*end == ':')
        fault_delay_ms = strtoul(end + 1, &end, 10);
    if (fault_count == 0 || *end)
        return -EINVAL;
    fault_at = point + 1;
    fault_at_size = (size_t)(count - fault_at);
    fault_armed = strlen(name) == (size_t)(point - text) && strncmp(name, text, strlen(name)) == 0;
    return 0;
}

void fault_pass(const char *point)
{
    if (strlen(point) != fault_at_size || memcmp(point, fault_at, fault_at_size) != 0 ||
        atomic_fetch_add_explicit(&passed, 1, memory_order_relaxed) + 1 != fault_count)
        return;
    monitor_log("%s at %s, as ASHLAR_FAULT says", fault_delay_ms ? "is late" : "dies", point);
    if (fault_delay_ms) {
        nanosleep(&(struct timespec){.tv_sec = (time_t)(fault_delay_ms / 1000),
                                     .tv_nsec = (long)(fault_delay_ms % 1000) * 1000000},
                  NULL);
        return;
    }
    (void)!raise(SIGKILL);
}
