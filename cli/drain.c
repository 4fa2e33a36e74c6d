/*
 * ashlar drain: empties an mComponent, so that it can be taken away under running programs.
 *
 * The registry is told, and places nothing new there; what lies there is moved by the mComponents
 * themselves. This command only watches, by the figures of the heartbeats: it may be interrupted,
 * and started again to watch on.
 */
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "cli.h"
#include "component.h"
#include "error_text.h"

static const char help[] =
    "usage: ashlar drain [--undo] [--json] [--rack NAME] MCOMPONENT\n\n"
    "Moves everything that lies on an mComponent, such as m2, to the others, while the programs "
    "run\n"
    "on, and waits until nothing is left: it can be stopped then. Nothing new is placed on it.\n"
    "Interrupting this command does not stop that.\n\n"
    "  --undo  let it take part again\n"
    "  --json  print the outcome as JSON, and no progress\n\n"
    "Exit code: 0 where it is empty, 1 where that cannot be, 3 where there is no such rack.\n";

enum {
    OPT_UNDO = CLI_OPT_OWN,
    OPT_JSON,
};

enum {
    POLL_MS = HEARTBEAT_MS / 2,
    /* By then a heartbeat has told of what came there until the registry knew. */
    SETTLE_MS = 3 * HEARTBEAT_MS,
    LINE_MS = 1000, /* between two lines of progress where they stay on the screen */
};

static const struct option options[] = {
    {"undo", no_argument, NULL, OPT_UNDO},
    {"json", no_argument, NULL, OPT_JSON},
    CLI_COMMON_OPTIONS,
};

struct drain {
    const char *name;
    bool undo, json;
    struct rack rack;
    const struct daemon_record *global;
    struct net_key key;
    struct component_info info; /* as last heard */
    uint64_t others_free_bytes; /* on the mComponents that take something */
    uint64_t began_ms, said_ms;
    uint64_t began_bytes;
    bool said; /* a line of progress stands on the screen */
};

/* ---- the rack ---- */

/* Looks at the component and at the others; says where it cannot. */
static int look(struct drain *d)
{
    struct component_info list[RACK_DAEMONS_MAX];
    int count = component_list(d->global->address, &d->key, list, RACK_DAEMONS_MAX);
    if (count < 0) {
        cli_error("the global managers (%s, pid %d) of rack %s do not answer: %s", d->global->name,
                  (int)d->global->pid, d->rack.name, error_text(count));
        return count;
    }
    bool found = false;
    d->others_free_bytes = 0;
    for (int i = 0; i < count; i++) {
        const struct component_info *c = &list[i];
        if (strncmp(c->name, d->name, sizeof c->name) == 0) {
            d->info = *c;
            found = true;
        } else if (c->kind == COMPONENT_MEMORY && c->state == COMPONENT_UP &&
                   c->used_bytes < c->size_bytes) {
            d->others_free_bytes += c->size_bytes - c->used_bytes;
        }
    }
    if (!found)
        cli_error("rack %s has no component %s (ashlar status lists them)", d->rack.name, d->name);
    return found ? 0 : -ENOENT;
}

static int tell_registry(struct drain *d)
{
    struct net_conn *conn;
    struct msg_drain request = {.id = d->info.id, .on = !d->undo};
    struct msg_drain_reply reply;
    int rc = component_connect(d->global->address, &d->key, &conn);
    if (rc == 0) {
        rc = NET_CALL(conn, DRAIN, drain, &request, &reply, GLOBAL_TIMEOUT_MS);
        net_close(conn);
    }
    if (rc == -EBUSY)
        cli_error("%s is the only mComponent of rack %s that takes anything: there is nowhere to "
                  "move its memory to",
                  d->name, d->rack.name);
    else if (rc < 0)
        cli_error("%s cannot be drained: %s", d->name, error_text(rc));
    return rc;
}

/* ---- watching ---- */

static bool is_empty(const struct component_info *info)
{
    return info->used_bytes == 0 && info->processes == 0;
}

/* On a terminal in place, elsewhere a line a second. */
static void show_progress(struct drain *d)
{
    char used[16];
    bool in_place = isatty(STDOUT_FILENO);
    if (d->json || (d->said && !in_place && clock_ms() - d->said_ms < LINE_MS))
        return;
    printf("%s%s: %s of %u address space%s left%s", in_place ? "\r\033[K" : "", d->name,
           cli_size(d->info.used_bytes, used), d->info.processes, d->info.processes == 1 ? "" : "s",
           in_place ? "" : "\n");
    fflush(stdout);
    d->said = true;
    d->said_ms = clock_ms();
}

static void end_progress(const struct drain *d)
{
    if (d->said && isatty(STDOUT_FILENO))
        printf("\r\033[K");
    fflush(stdout);
}

/* Until nothing is left, or what is left stays. Says the latter. */
static int watch(struct drain *d)
{
    char used[16], room[16];
    if (d->info.used_bytes > d->others_free_bytes)
        cli_error("%s holds %s, and the others have only %s free: the rest waits until they have "
                  "more",
                  d->name, cli_size(d->info.used_bytes, used),
                  cli_size(d->others_free_bytes, room));
    for (;;) {
        int rc = look(d);
        if (rc < 0)
            return rc;
        if (d->info.state != COMPONENT_DRAINING) {
            end_progress(d);
            cli_error(d->info.state == COMPONENT_UP
                          ? "%s takes part again: draining it was taken back"
                          : "%s was lost while it was drained",
                      d->name);
            return ASH_LOST;
        }
        bool settled = clock_ms() - d->began_ms >= SETTLE_MS;
        if (settled && is_empty(&d->info))
            return 0;
        if (settled)
            show_progress(d);
        poll(NULL, 0, POLL_MS);
    }
}

static void print_outcome(const struct drain *d)
{
    char moved[16];
    if (d->json) {
        json_t *root =
            json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "id", d->name, "state",
                      d->undo ? "up" : "draining", "used_bytes", (json_int_t)d->info.used_bytes,
                      "processes", (json_int_t)d->info.processes, "moved_bytes",
                      (json_int_t)(d->undo ? 0 : d->began_bytes), "took_ms",
                      (json_int_t)(clock_ms() - d->began_ms));
        json_dumpf(root, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(root);
    } else if (d->undo) {
        printf("%s takes part again.\n", d->name);
    } else {
        printf("%s is empty (%s moved in %.1f s). It stays so until: ashlar drain --undo %s\n",
               d->name, cli_size(d->began_bytes, moved), (double)(clock_ms() - d->began_ms) / 1000,
               d->name);
    }
}

static int run_drain(struct drain *d)
{
    if (look(d) < 0)
        return CLI_FAILED;
    if (d->info.kind != COMPONENT_MEMORY) {
        cli_error("%s is no mComponent (its kind is %s): only memory can be moved", d->name,
                  rack_kind_name(d->info.kind));
        return CLI_FAILED;
    }
    if (d->info.state == COMPONENT_DOWN && !d->undo) {
        cli_error("%s (memory, pid %u) is down: what lay there is lost, or served by the others "
                  "already",
                  d->name, d->info.pid);
        return CLI_FAILED;
    }
    d->began_ms = clock_ms();
    d->began_bytes = d->info.used_bytes;
    if (tell_registry(d) < 0)
        return CLI_FAILED;
    d->info.state = COMPONENT_DRAINING;
    if (!d->undo && watch(d) < 0)
        return CLI_FAILED;
    end_progress(d);
    print_outcome(d);
    return CLI_OK;
}

/* ---- the command ---- */

/* Options may come before and after the component's name. */
static int parse(struct cli_command *command, struct drain *d, int argc, char **argv)
{
    int code = CLI_OK, option;
    for (;;) {
        while ((option = cli_option(command, argc, argv, &code)) >= 0)
            *(option == OPT_UNDO ? &d->undo : &d->json) = true;
        if (option == -2)
            return code;
        if (optind == argc || d->name)
            break;
        d->name = argv[optind++];
    }
    if (d->name && optind == argc)
        return -1;
    fprintf(stderr,
            "ashlar drain: one mComponent is to be named, such as m2\nTry: ashlar drain --help\n");
    return CLI_USAGE;
}

int cli_drain(int argc, char **argv)
{
    struct cli_command command = {.name = "drain", .help = help, .options = options};
    static struct drain d;
    int code = parse(&command, &d, argc, argv);
    if (code >= 0 || (code = rack_open(&d.rack, command.rack)) != CLI_OK)
        return code;
    d.global = rack_first(&d.rack, COMPONENT_GLOBAL);
    int rc = rack_key(&d.rack, &d.key);
    if (rc < 0 || !d.global) {
        cli_error("%s/key cannot be read: %s", d.rack.dir, error_text(rc));
        return CLI_FAILED;
    }
    return run_drain(&d);
}
