/* ashlar down: ends a rack's daemons, and with them what runs on it, and removes its state. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "daemons.h"

static const char help[] =
    "usage: ashlar down [--rack NAME]\n\n"
    "Ends a rack: every program on it, every daemon, and its state directory. Works whatever\n"
    "state the rack is in. Exit code 3 where there is no such rack.\n";

static const struct option options[] = {CLI_COMMON_OPTIONS};

int cli_down(int argc, char **argv)
{
    struct cli_command command = {.name = "down", .help = help, .options = options};
    int code;
    if (cli_option(&command, argc, argv, &code) == -2 ||
        (code = cli_no_arguments(&command, argc, argv)) != CLI_OK)
        return code;
    struct rack rack;
    if ((code = rack_name(&rack, command.rack)) != CLI_OK)
        return code;
    int rc = rack_lock(&rack, false);
    if (rc == -ENOENT) {
        cli_error("there is no rack %s", rack.name);
        return CLI_NO_RACK;
    }
    if (rc == 0) {
        daemons_end(&rack);
        rc = rack_remove(&rack);
    }
    rack_unlock(&rack);
    if (rc < 0) {
        cli_error("%s: %s", rack.dir, strerror(-rc));
        return CLI_FAILED;
    }
    printf("Rack %s is down.\n", rack.name);
    return CLI_OK;
}
