/*
 * Parses a monitor's command line with getopt_long; the table is the common options followed by the
 * monitor's own.
 */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../util/error_text.h"
#include "log.h"

enum option_code {
    OPTION_NAME = 256,
    OPTION_RACK_DIR,
    OPTION_LISTEN,
    OPTION_GLOBAL,
    OPTION_READY_FD,
    OPTION_LIFELINE_FD,
    OPTION_LOG_LEVEL,
    OPTION_HELP,
    OPTION_VERSION,
    OPTION_OWN,
};

enum { OWN_MAX = 16, EXIT_USAGE = 2 };

static const struct {
    const char *name, *argument, *help;
    enum option_code code;
} common_table[] = {
    {"name", "NAME", "the component's name in its rack, such as m1", OPTION_NAME},
    {"rack-dir", "DIR", "the rack's state directory; its file `key` is the cluster key",
     OPTION_RACK_DIR},
    {"listen", "ADDRESS", "HOST:PORT or unix:PATH (default 127.0.0.1:0, any free port)",
     OPTION_LISTEN},
    {"global", "ADDRESS", "where the rack's ashlar-global listens", OPTION_GLOBAL},
    {"ready-fd", "N", "write the address there once registered, and close it", OPTION_READY_FD},
    {"lifeline-fd", "N", "end when the other end of this descriptor closes", OPTION_LIFELINE_FD},
    {"log-level", "LEVEL", "info (default) or none", OPTION_LOG_LEVEL},
    {"help", NULL, "print this", OPTION_HELP},
    {"version", NULL, "print the version", OPTION_VERSION},
};
enum { COMMON_COUNT = sizeof common_table / sizeof *common_table };

static void print_option(const char *name, const char *argument, const char *help)
{
    char form[40];
    snprintf(form, sizeof form, "--%s %s", name, argument ? argument : "");
    printf("  %-24s %s\n", form, help);
}

static void print_help(const struct monitor *m)
{
    printf("Usage: %s --name NAME --rack-dir DIR [OPTION]...\n%s\n\n", m->program, m->summary);
    for (const struct monitor_option *o = m->options; o && o->name; o++)
        print_option(o->name, o->argument, o->help);
    for (int i = 0; i < COMMON_COUNT; i++)
        print_option(common_table[i].name, common_table[i].argument, common_table[i].help);
}

static int copy_text(char *to, size_t size, const char *value)
{
    if (!*value)
        return -EINVAL;
    if (strlen(value) >= size)
        return -ENAMETOOLONG;
    strcpy(to, value);
    return 0;
}

static int parse_fd(const char *value, int *fd)
{
    char *end;
    errno = 0;
    long n = strtol(value, &end, 10);
    if (errno || *end || end == value || n < 0 || n > INT_MAX)
        return -EINVAL;
    *fd = (int)n;
    return 0;
}

static int set_log_level(const char *value)
{
    bool none = strcmp(value, "none") == 0;
    if (!none && strcmp(value, "info") != 0)
        return -EINVAL;
    log_set_quiet(none);
    return 0;
}

static int set(struct monitor *m, struct common_options *common, int code, char *value)
{
    switch (code) {
    case OPTION_NAME:
        return copy_text(m->name, sizeof m->name, value);
    case OPTION_RACK_DIR:
        m->rack_dir = value;
        return 0;
    case OPTION_LISTEN:
        return copy_text(m->listen, sizeof m->listen, value);
    case OPTION_GLOBAL:
        return copy_text(m->global_address, sizeof m->global_address, value);
    case OPTION_READY_FD:
        return parse_fd(value, &common->ready_fd);
    case OPTION_LIFELINE_FD:
        return parse_fd(value, &common->lifeline_fd);
    case OPTION_LOG_LEVEL:
        return set_log_level(value);
    }
    return m->options[code - OPTION_OWN].set(m->self, value);
}

int options_parse(struct monitor *m, struct common_options *common, int argc, char **argv)
{
    struct option table[COMMON_COUNT + OWN_MAX + 1];
    int count = 0, code, index;
    memset(table, 0, sizeof table);
    for (; count < COMMON_COUNT; count++)
        table[count] = (struct option){.name = common_table[count].name,
                                       .has_arg = common_table[count].argument ? required_argument
                                                                               : no_argument,
                                       .val = (int)common_table[count].code};
    for (int i = 0; m->options && m->options[i].name && i < OWN_MAX; i++)
        table[count++] = (struct option){.name = m->options[i].name,
                                         .has_arg = m->options[i].argument ? required_argument
                                                                           : no_argument,
                                         .val = OPTION_OWN + i};

    *common = (struct common_options){.ready_fd = -1, .lifeline_fd = -1};
    strcpy(m->listen, "127.0.0.1:0");
    while ((code = getopt_long(argc, argv, "", table, &index)) != -1) {
        if (code == OPTION_HELP) {
            print_help(m);
            return 0;
        }
        if (code == OPTION_VERSION) {
            printf("%s %s, protocol %d\n", m->program, ASHLAR_VERSION, PROTOCOL_VERSION);
            return 0;
        }
        if (code == '?')
            return EXIT_USAGE;
        int rc = set(m, common, code, optarg);
        if (rc < 0) {
            fprintf(stderr, "%s: --%s %s: %s\n", m->program, table[index].name,
                    optarg ? optarg : "", error_text(rc));
            return EXIT_USAGE;
        }
    }
    const char *missing = optind < argc  ? "takes no arguments besides options"
                          : !m->name[0]  ? "--name is missing"
                          : !m->rack_dir ? "--rack-dir is missing"
                          : m->kind != COMPONENT_GLOBAL && !m->global_address[0]
                              ? "--global is missing"
                              : NULL;
    if (missing) {
        fprintf(stderr, "%s: %s (see --help)\n", m->program, missing);
        return EXIT_USAGE;
    }
    return -1;
}
