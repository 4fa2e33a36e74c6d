/*
 * ashlar status: what is up, how full it is, and what is wrong.
 *
 * Three sources are put together: rack.json says what there should be, each component answers PING
 * itself (all are asked at once, so that frozen ones cost one timeout together), and the global
 * daemon says what it has heard. Nothing of it needs the global daemon to be alive.
 */
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "component.h"
#include "error_text.h"

static const char help[] =
    "usage: ashlar status [--json] [--rack NAME]\n\n"
    "Shows a rack's components. Exit code 0: healthy, 1: degraded, 3: there is no such rack.\n";

enum { OPT_JSON = CLI_OPT_OWN };

static const struct option options[] = {
    {"json", no_argument, NULL, OPT_JSON},
    CLI_COMMON_OPTIONS,
};

struct component_status {
    const struct daemon_record *record;
    const struct net_key *key;
    struct component_info heard; /* of the last heartbeat; id 0: none */
    struct msg_ping_reply answer;
    int rc;     /* of asking it; 0: answer is filled */
    bool alive; /* as a process */
    bool asked; /* by the thread `asker` */
    pthread_t asker;
};

struct status {
    struct component_status components[RACK_DAEMONS_MAX];
    unsigned count;
    json_t *reasons;
};

static void add_reason(struct status *status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void add_reason(struct status *status, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    json_array_append_new(status->reasons, json_string(text));
}

static void *ask(void *argument)
{
    struct component_status *c = argument;
    struct net_conn *conn;
    struct msg_ping request = {};
    c->rc = component_connect(c->record->address, c->key, &conn);
    if (c->rc == 0) {
        c->rc = NET_CALL(conn, PING, ping, &request, &c->answer, MEMORY_TIMEOUT_MS);
        net_close(conn);
    }
    return NULL;
}

static void take_heard(struct status *status, struct rack *rack, const struct net_key *key)
{
    struct component_info list[RACK_DAEMONS_MAX];
    const struct daemon_record *global = rack_first(rack, COMPONENT_GLOBAL);
    int count = global && daemon_alive(global)
                    ? component_list(global->address, key, list, RACK_DAEMONS_MAX)
                    : ASH_LOST;
    for (unsigned i = 0; i < status->count; i++) {
        struct component_status *c = &status->components[i];
        for (int k = 0; k < count; k++) {
            if (strncmp(list[k].name, c->record->name, sizeof list[k].name) == 0)
                c->heard = list[k];
        }
        if (count >= 0 && c->rc == 0 && c->record->kind != COMPONENT_GLOBAL &&
            (c->heard.id.n == 0 || c->heard.state == COMPONENT_DOWN))
            add_reason(status, "%s (%s, pid %d) answers, but its lease at %s ran out",
                       c->record->name, rack_kind_name(c->record->kind), (int)c->record->pid,
                       global->name);
    }
}

static void look(struct status *status, struct rack *rack)
{
    struct net_key key;
    int rc = rack_key(rack, &key);
    if (rc < 0)
        add_reason(status, "%s/key cannot be read: %s", rack->dir, error_text(rc));
    status->count = rack->count;
    for (unsigned i = 0; i < rack->count; i++) {
        struct component_status *c = &status->components[i];
        *c = (struct component_status){.record = &rack->daemons[i], .key = &key, .rc = rc};
        c->alive = daemon_alive(c->record);
        if (!c->alive)
            c->rc = ASH_LOST;
        if (c->rc < 0)
            continue;
        c->asked = pthread_create(&c->asker, NULL, ask, c) == 0; /* from here on rc is its */
        if (!c->asked)
            c->rc = -EAGAIN;
    }
    for (unsigned i = 0; i < rack->count; i++) {
        struct component_status *c = &status->components[i];
        if (c->asked)
            pthread_join(c->asker, NULL);
        if (!c->alive)
            add_reason(status, "%s (%s, pid %d) has ended", c->record->name,
                       rack_kind_name(c->record->kind), (int)c->record->pid);
        else if (c->rc < 0)
            add_reason(status, "%s (%s, pid %d) is not answering: %s", c->record->name,
                       rack_kind_name(c->record->kind), (int)c->record->pid, error_text(c->rc));
    }
    if (rc == 0)
        take_heard(status, rack, &key);
}

/* ---- output ---- */

static bool is_up(const struct component_status *c)
{
    return c->rc == 0;
}

static const char *state_name(const struct component_status *c)
{
    return !is_up(c) ? "down" : c->heard.state == COMPONENT_DRAINING ? "draining" : "up";
}

/* Its own answer where it gives figures in one, else what it last said of itself. */
static uint64_t pick(const struct component_status *c, uint64_t answered, uint64_t heard)
{
    return is_up(c) && c->answer.size_bytes ? answered : heard;
}

static uint64_t used_bytes(const struct component_status *c)
{
    return pick(c, c->answer.used_bytes, c->heard.used_bytes);
}

static uint64_t cached_bytes(const struct component_status *c)
{
    return pick(c, c->answer.cached_bytes, c->heard.cached_bytes);
}

static uint64_t size_bytes(const struct component_status *c)
{
    return pick(c, c->answer.size_bytes, c->heard.size_bytes);
}

static void print_json(const struct status *status, const char *health)
{
    json_t *components = json_array();
    for (unsigned i = 0; i < status->count; i++) {
        const struct component_status *c = &status->components[i];
        json_array_append_new(
            components,
            json_pack(
                "{s:s, s:s, s:I, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "id",
                c->record->name, "kind", rack_kind_name(c->record->kind), "pid",
                (json_int_t)c->record->pid, "address", c->record->address, "state", state_name(c),
                "size_bytes", (json_int_t)size_bytes(c), "used_bytes", (json_int_t)used_bytes(c),
                "cached_bytes", (json_int_t)cached_bytes(c), "load", (json_int_t)c->heard.load,
                "processes", (json_int_t)c->heard.processes, "requests",
                (json_int_t)c->answer.requests, "refused", (json_int_t)c->answer.refused, "single",
                (json_int_t)c->answer.single, "replica_bytes", (json_int_t)c->answer.replica_bytes,
                "logged_bytes", (json_int_t)c->answer.logged_bytes));
    }
    json_t *root = json_pack("{s:s, s:O, s:o}", "health", health, "reasons", status->reasons,
                             "components", components);
    json_dumpf(root, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(root);
}

static void print_table(const struct status *status, const struct rack *rack, const char *health)
{
    size_t i;
    json_t *reason;
    printf("rack %s: %s\n", rack->name, health);
    json_array_foreach(status->reasons, i, reason) printf("  ! %s\n", json_string_value(reason));
    printf("\n%-5s %-8s %-7s %-8s %-21s %10s %10s %10s %10s %10s  %s\n", "ID", "KIND", "PID",
           "STATE", "ADDRESS", "SIZE", "USED", "CACHED", "REPLICAS", "IN LOG", "LOAD");
    for (i = 0; i < status->count; i++) {
        const struct component_status *c = &status->components[i];
        char size[16], used[16], cached[16], replicas[16], logged[16];
        printf("%-5s %-8s %-7d %-8s %-21s %10s %10s %10s %10s %10s  %llu\n", c->record->name,
               rack_kind_name(c->record->kind), (int)c->record->pid, state_name(c),
               c->record->address, cli_size(size_bytes(c), size), cli_size(used_bytes(c), used),
               cli_size(cached_bytes(c), cached), cli_size(c->answer.replica_bytes, replicas),
               cli_size(c->answer.logged_bytes, logged), (unsigned long long)c->heard.load);
    }
}

int cli_status(int argc, char **argv)
{
    struct cli_command command = {.name = "status", .help = help, .options = options};
    int code, option;
    bool json = false;
    while ((option = cli_option(&command, argc, argv, &code)) >= 0)
        json = true;
    if (option == -2 || (code = cli_no_arguments(&command, argc, argv)) != CLI_OK)
        return code;
    struct rack rack;
    if ((code = rack_open(&rack, command.rack)) != CLI_OK)
        return code;
    static struct status status;
    status.reasons = json_array();
    look(&status, &rack);
    const char *health = json_array_size(status.reasons) == 0 ? "ok" : "degraded";
    if (json)
        print_json(&status, health);
    else
        print_table(&status, &rack, health);
    code = json_array_size(status.reasons) == 0 ? CLI_OK : CLI_FAILED;
    json_decref(status.reasons);
    return code;
}
