/*
 * The log: lines on stderr, each written with one write() so that threads do not mix them.
 */
#include "monitor.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

enum { LINE_BYTES = 1024 };

/* Set once, before any thread is started. */
static char component_name[NAME_LIMIT] = "-";
static bool quiet;

void log_set_name(const char *name)
{
    snprintf(component_name, sizeof component_name, "%s", name);
}

void log_set_quiet(bool value)
{
    quiet = value;
}

void monitor_log(const char *format, ...)
{
    if (quiet)
        return;
    char line[LINE_BYTES];
    struct timespec now;
    struct tm t;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &t);
    size_t size = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &t);
    size += (size_t)snprintf(line + size, sizeof line - size, ".%03ldZ %s ", now.tv_nsec / 1000000,
                             component_name);
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(line + size, sizeof line - size - 1, format, arguments);
    va_end(arguments);
    if (n > 0)
        size += (size_t)n < sizeof line - size - 1 ? (size_t)n : sizeof line - size - 2;
    line[size++] = '\n';
    (void)!write(STDERR_FILENO, line, size);
}
