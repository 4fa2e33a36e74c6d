/* How lib/monitor sets up the log; both before any thread is started. */
#ifndef ASHLAR_LIB_MONITOR_LOG_H
#define ASHLAR_LIB_MONITOR_LOG_H

#include <stdbool.h>

/* The name that stands in each line. */
void log_set_name(const char *name);
/* --log-level none. */
void log_set_quiet(bool quiet);

#endif
