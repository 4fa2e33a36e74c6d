/* ashlar: the command. Finds the subcommand; see cli.h for what they share. */
#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "size.h"

static const struct {
    const char *name;
    int (*main)(int argc, char **argv);
    const char *summary;
} commands[] = {
    {"up", cli_up, "start a rack on this machine"},
    {"down", cli_down, "end a rack and everything on it"},
    {"status", cli_status, "show a rack's components and their health"},
    {"ps", cli_ps, "list the processes that run on a rack"},
    {"drain", cli_drain, "empty an mComponent, while programs run on"},
    {"run", cli_run, "run a program, with its memory and files on a rack"},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

void cli_error(const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "ashlar: %s\n", text);
}

int cli_option(struct cli_command *command, int argc, char **argv, int *exit_code)
{
    opterr = 0;
    for (;;) {
        int at = optind;
        int c = getopt_long(argc, argv, "+:", command->options, NULL);
        switch (c) {
        case CLI_OPT_RACK:
            command->rack = optarg;
            continue;
        case CLI_OPT_HELP:
            fputs(command->help, stdout);
            *exit_code = CLI_OK;
            return -2;
        case '?':
        case ':':
            fprintf(stderr, "ashlar %s: %s: %s\nTry: ashlar %s --help\n", command->name, argv[at],
                    c == ':' ? "a value is missing" : "unknown option", command->name);
            *exit_code = CLI_USAGE;
            return -2;
        default:
            return c;
        }
    }
}

int cli_wrong_value(const struct cli_command *command, int option, const char *value)
{
    const struct option *o = command->options;
    while (o->val != option)
        o++;
    fprintf(stderr, "ashlar %s: --%s: '%s' will not do\nTry: ashlar %s --help\n", command->name,
            o->name, value, command->name);
    return CLI_USAGE;
}

int cli_no_arguments(const struct cli_command *command, int argc, char **argv)
{
    if (optind == argc)
        return CLI_OK;
    fprintf(stderr, "ashlar %s: %s: takes no arguments\nTry: ashlar %s --help\n", command->name,
            argv[optind], command->name);
    return CLI_USAGE;
}

int cli_size_at_least(const char *text, uint64_t least_bytes, uint64_t *bytes)
{
    int rc = size_parse(text, bytes);
    return rc < 0 ? rc : *bytes < least_bytes ? -ERANGE : 0;
}

int cli_count(const char *text, unsigned *count)
{
    enum { EACH_MAX = 32 };
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || n < 1 || n > EACH_MAX)
        return -EINVAL;
    *count = (unsigned)n;
    return 0;
}

const char *cli_size(uint64_t bytes, char text[16])
{
    static const char units[] = "KMGT";
    if (bytes < 1024) {
        snprintf(text, 16, "%u B", (unsigned)bytes);
        return text;
    }
    double value = (double)bytes;
    int unit = -1;
    while (value >= 1024 && unit < 3) {
        value /= 1024;
        unit++;
    }
    snprintf(text, 16, "%.1f %ciB", value, units[unit]);
    return text;
}

static void print_help(FILE *to)
{
    fputs("usage: ashlar COMMAND [OPTION...]\n\n"
          "Runs unmodified Linux programs whose memory and files are on other components.\n\n",
          to);
    for (int i = 0; i < COMMANDS; i++)
        fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].summary);
    fputs(
        "\nEach command has --help. --rack NAME (or ASHLAR_RACK) names the rack.\n"
        "Start with: ashlar up; ashlar run -- python3 -c 'print(1)'; ashlar status; ashlar down\n",
        to);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return CLI_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
        print_help(stdout);
        return CLI_OK;
    }
    if (strcmp(word, "--version") == 0) {
        printf("ashlar %s\n", ASHLAR_VERSION);
        return CLI_OK;
    }
    for (int i = 0; i < COMMANDS; i++) {
        if (strcmp(word, commands[i].name) == 0)
            return commands[i].main(argc - 1, argv + 1);
    }
    fprintf(stderr, "ashlar: %s: unknown %s\nTry: ashlar --help\n", word,
            word[0] == '-' ? "option" : "command");
    return CLI_USAGE;
}
