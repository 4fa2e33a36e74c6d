/* The common options of every monitor, and its own. */
#ifndef ASHLAR_LIB_MONITOR_OPTIONS_H
#define ASHLAR_LIB_MONITOR_OPTIONS_H

#include "monitor.h"

struct common_options {
    int ready_fd, lifeline_fd; /* -1: none */
};

/*
 * Fills the monitor's fields and *common. Returns -1 to go on, else the exit code to end with
 * (--help, --version, or a mistake that has been printed).
 */
int options_parse(struct monitor *monitor, struct common_options *common, int argc,
                  char **argv) NET_CHECKED;

#endif
