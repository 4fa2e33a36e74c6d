/* ashlar ps: the processes that run on a rack, as its process monitors list them. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "component.h"
#include "error_text.h"

static const char help[] =
    "usage: ashlar ps [--json] [--rack NAME]\n\n"
    "Lists the processes that run on a rack. Exit code 1 where a pComponent did not answer,\n"
    "3 where there is no such rack.\n";

enum { OPT_JSON = CLI_OPT_OWN };

static const struct option options[] = {
    {"json", no_argument, NULL, OPT_JSON},
    CLI_COMMON_OPTIONS,
};

/* The names of components by their numbers, from the global daemon; empty where it is away. */
struct names {
    struct component_info list[RACK_DAEMONS_MAX];
    int count;
};

static void name_of(const struct names *names, struct component id, char text[NAME_LIMIT + 8])
{
    snprintf(text, NAME_LIMIT + 8, "#%u", id.n);
    for (int i = 0; i < names->count; i++) {
        if (names->list[i].id.n == id.n)
            snprintf(text, NAME_LIMIT + 8, "%s", names->list[i].name);
    }
}

static void add_processes(json_t *out, const struct daemon_record *d, const struct names *names,
                          const struct msg_process_list_reply *reply)
{
    for (uint32_t i = 0; i < reply->processes_count; i++) {
        struct process_info p = reply->processes[i];
        char home[NAME_LIMIT + 8], run[24];
        p.name[sizeof p.name - 1] = '\0';
        name_of(names, p.home, home);
        snprintf(run, sizeof run, "%llx", (unsigned long long)p.run_id);
        json_t *item =
            json_pack("{s:I, s:s, s:s, s:s, s:I, s:I, s:I, s:I}", "pid", (json_int_t)p.pid, "run",
                      run, "component", d->name, "home", home, "threads", (json_int_t)p.threads,
                      "excache_bytes", (json_int_t)p.excache_bytes, "started_ms",
                      (json_int_t)p.started_ms, "asid", (json_int_t)p.asid.n);
        /* A program's name may be any bytes: what is not UTF-8 is shown as '?'. */
        json_t *name = json_string(p.name);
        json_object_set_new(item, "name", name ? name : json_string("?"));
        json_array_append_new(out, item);
    }
}

static int ask(json_t *out, const struct daemon_record *d, const struct net_key *key,
               const struct names *names)
{
    struct net_conn *conn;
    struct msg_process_list request = {};
    struct msg_process_list_reply reply;
    int rc = component_connect(d->address, key, &conn);
    if (rc < 0)
        return rc;
    rc = NET_CALL(conn, PROCESS_LIST, process_list, &request, &reply, NODE_TIMEOUT_MS);
    if (rc == 0)
        add_processes(out, d, names, &reply);
    net_close(conn);
    return rc;
}

static void print_table(const json_t *list)
{
    size_t i;
    json_t *item;
    printf("%-7s %-15s %-10s %-6s %7s %10s %8s  %s\n", "PID", "NAME", "COMPONENT", "HOME",
           "THREADS", "EXCACHE", "SECONDS", "RUN");
    json_array_foreach(list, i, item)
    {
        const char *name, *run, *component, *home;
        json_int_t pid, threads, excache, started;
        char size[16];
        if (json_unpack(item, "{s:I, s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "pid", &pid, "name",
                        &name, "run", &run, "component", &component, "home", &home, "threads",
                        &threads, "excache_bytes", &excache, "started_ms", &started) < 0)
            continue;
        long long seconds = (long long)time(NULL) - started / 1000;
        printf("%-7lld %-15s %-10s %-6s %7lld %10s %8lld  %s\n", (long long)pid, name, component,
               home, (long long)threads, cli_size((uint64_t)excache, size),
               seconds > 0 ? seconds : 0, run);
    }
}

static int list_rack(struct rack *rack, bool json)
{
    struct net_key key;
    int rc = rack_key(rack, &key);
    if (rc < 0) {
        cli_error("%s/key cannot be read: %s", rack->dir, error_text(rc));
        return CLI_FAILED;
    }
    static struct names names;
    struct daemon_record *global = rack_first(rack, COMPONENT_GLOBAL);
    names.count = global ? component_list(global->address, &key, names.list, RACK_DAEMONS_MAX) : 0;
    json_t *list = json_array();
    int code = CLI_OK;
    for (unsigned i = 0; i < rack->count; i++) {
        const struct daemon_record *d = &rack->daemons[i];
        if (d->kind != COMPONENT_PROCESS)
            continue;
        rc = ask(list, d, &key, &names);
        if (rc < 0) {
            cli_error("%s (process, pid %d) is not answering: %s", d->name, (int)d->pid,
                      error_text(rc));
            code = CLI_FAILED;
        }
    }
    if (json) {
        json_t *root = json_pack("{s:O}", "processes", list);
        json_dumpf(root, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(root);
    } else {
        print_table(list);
    }
    json_decref(list);
    return code;
}

int cli_ps(int argc, char **argv)
{
    struct cli_command command = {.name = "ps", .help = help, .options = options};
    int code, option;
    bool json = false;
    while ((option = cli_option(&command, argc, argv, &code)) >= 0)
        json = true;
    if (option == -2 || (code = cli_no_arguments(&command, argc, argv)) != CLI_OK)
        return code;
    struct rack rack;
    if ((code = rack_open(&rack, command.rack)) != CLI_OK)
        return code;
    return list_rack(&rack, json);
}
