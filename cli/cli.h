/* What the commands of `ashlar` share: their entry points, exit codes, options and messages. */
#ifndef ASHLAR_CLI_H
#define ASHLAR_CLI_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,        /* unknown options, wrong values */
    CLI_NO_RACK = 3,      /* status, ps, drain, down: there is no such rack */
    CLI_RUN_FAILED = 125, /* run: Ashlar itself failed; the program did not start or was ended */
    CLI_NOT_EXECUTABLE = 126,
    CLI_NOT_FOUND = 127,
};

int cli_up(int argc, char **argv);
int cli_down(int argc, char **argv);
int cli_status(int argc, char **argv);
int cli_ps(int argc, char **argv);
int cli_drain(int argc, char **argv);
int cli_run(int argc, char **argv);

/* One line on stderr: "ashlar: ...". */
void cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

enum {
    CLI_OPT_RACK = 256, /* --rack NAME, handled by cli_option() itself */
    CLI_OPT_HELP,       /* --help, the same */
    CLI_OPT_OWN,        /* the first number for a command's own options */
};

#define CLI_COMMON_OPTIONS                                                                         \
    {"rack", required_argument, NULL, CLI_OPT_RACK}, {"help", no_argument, NULL, CLI_OPT_HELP},    \
    {                                                                                              \
    }

struct cli_command {
    const char *name;
    const char *help; /* what --help prints */
    const struct option *options;
    const char *rack; /* out: --rack's value, or NULL */
};

/*
 * The next option of a command: its number; -1 after the last (optind is then the first argument);
 * -2 where the command is to end with *exit_code.
 */
int cli_option(struct cli_command *command, int argc, char **argv, int *exit_code);
/* Says that an option's value is wrong; returns CLI_USAGE. */
int cli_wrong_value(const struct cli_command *command, int option, const char *value);
/* Refuses arguments where a command takes none: CLI_USAGE, else CLI_OK. */
int cli_no_arguments(const struct cli_command *command, int argc, char **argv);

/* A size of at least that many bytes. Negative where text is none. */
int cli_size_at_least(const char *text, uint64_t least_bytes, uint64_t *bytes)
    __attribute__((warn_unused_result));
/* A count of components, 1 to 32. Negative where text is none. */
int cli_count(const char *text, unsigned *count) __attribute__((warn_unused_result));

/* "64.0 MiB" and the like, for people. Returns text. */
const char *cli_size(uint64_t bytes, char text[16]);

#endif
