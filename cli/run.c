/* ashlar run: runs a program, with its memory and its files on a rack. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "cli.h"
#include "error_text.h"
#include "job.h"
#include "launch.h"
#include "lookup.h"
#include "private_rack.h"
#include "run_stats.h"

static const char help[] =
    "usage: ashlar run [OPTION...] [--] PROGRAM [ARG...]\n\n"
    "Runs PROGRAM, with its memory on an mComponent and its files on an sComponent. Streams,\n"
    "terminal, signals, environment, umask and current directory are the caller's. It sees this\n"
    "machine's files, and may change those in the current directory and in /tmp. When PROGRAM "
    "ends,\n"
    "the processes that it has left behind are ended too. Without a rack, one is started for this\n"
    "run alone and taken away afterwards.\n\n"
    "  --excache SIZE     local memory for each of its processes (default 64M, or what is left)\n"
    "  --replicas N       copies of its memory, on different mComponents: 1 or 2 (default 2, "
    "where\n"
    "                     the rack has two)\n"
    "  --policy fifo|lru  which lines leave it (default lru)\n"
    "  --stats FILE       write counters there at the end, as JSON; - is standard error\n"
    "  --trace[=FILE]     print its system calls there, or on standard error, as strace does\n"
    "  --trace=alloc      print on standard error where its memory is allocated, step by step\n"
    "  --no-move          do not use UFFDIO_MOVE, as on kernels before 6.8\n"
    "  --no-rewrite       leave call sites as they are: every system call is dispatched\n"
    "  --rack NAME        the rack (default: ASHLAR_RACK, or \"default\" where that is up)\n"
    "  --memory N, --memory-size SIZE\n"
    "                     mComponents of a rack that is started for this run (default 1)\n\n"
    "Exit code: PROGRAM's own; 128 + N where signal N ended it; 127 where PROGRAM was not found,\n"
    "126 where it cannot be executed; 125 where Ashlar failed; 2 for wrong options.\n";

enum { REPLICAS_DEFAULT = 2 };

enum {
    OPT_EXCACHE = CLI_OPT_OWN,
    OPT_REPLICAS,
    OPT_POLICY,
    OPT_STATS,
    OPT_TRACE,
    OPT_NO_MOVE,
    OPT_NO_REWRITE,
    OPT_MEMORY,
    OPT_MEMORY_SIZE,
};

static const struct option options[] = {
    {"excache", required_argument, NULL, OPT_EXCACHE},
    {"replicas", required_argument, NULL, OPT_REPLICAS},
    {"policy", required_argument, NULL, OPT_POLICY},
    {"stats", required_argument, NULL, OPT_STATS},
    {"trace", optional_argument, NULL, OPT_TRACE},
    {"no-move", no_argument, NULL, OPT_NO_MOVE},
    {"no-rewrite", no_argument, NULL, OPT_NO_REWRITE},
    {"memory", required_argument, NULL, OPT_MEMORY},
    {"memory-size", required_argument, NULL, OPT_MEMORY_SIZE},
    CLI_COMMON_OPTIONS,
};

struct run {
    struct launch launch;
    struct rack rack;
    struct rack_plan plan; /* of a private rack */
    struct private_rack private;
    struct job job;
    const char *stats_name;
    FILE *stats; /* NULL: not wanted */
    char cwd[PATH_MAX];
    char program[PATH_MAX];
};

static int parse(int option, const char *value, struct run *run)
{
    switch (option) {
    case OPT_EXCACHE:
        return cli_size_at_least(value, RACK_EXCACHE_LEAST, &run->launch.excache_bytes);
    case OPT_REPLICAS:
        run->launch.replicas = (uint32_t)(value[0] - '0');
        return strcmp(value, "1") == 0 || strcmp(value, "2") == 0 ? 0 : -EINVAL;
    case OPT_POLICY:
        run->launch.policy = strcmp(value, "fifo") == 0 ? BOOT_POLICY_FIFO : BOOT_POLICY_LRU;
        return strcmp(value, "fifo") == 0 || strcmp(value, "lru") == 0 ? 0 : -EINVAL;
    case OPT_STATS:
        run->stats_name = value;
        return 0;
    case OPT_TRACE:
        if (value && strcmp(value, "alloc") == 0) {
            run->launch.flags |= BOOT_TRACE_ALLOC;
            return 0;
        }
        run->launch.flags |= BOOT_TRACE;
        run->launch.trace_name = value;
        return 0;
    case OPT_NO_MOVE:
        run->launch.flags |= BOOT_NO_MOVE;
        return 0;
    case OPT_NO_REWRITE:
        run->launch.flags |= BOOT_NO_REWRITE;
        return 0;
    case OPT_MEMORY:
        return cli_count(value, &run->plan.memory);
    default:
        return cli_size_at_least(value, RACK_MEMORY_LEAST, &run->plan.memory_size_bytes);
    }
}

static int find_program(struct run *run)
{
    const char *name = run->launch.argv[0];
    if (!getcwd(run->cwd, sizeof run->cwd) || run->cwd[0] != '/') {
        cli_error("the current directory is gone");
        return CLI_RUN_FAILED;
    }
    int rc = lookup_program(name, run->cwd, run->program, sizeof run->program);
    if (rc == 0)
        return CLI_OK;
    bool missing = rc == -ENOENT;
    cli_error("%s: %s", name, missing && !strchr(name, '/') ? "command not found" : strerror(-rc));
    return missing ? CLI_NOT_FOUND : CLI_NOT_EXECUTABLE;
}

static bool any_alive(const struct rack *rack)
{
    for (unsigned i = 0; i < rack->count; i++) {
        if (daemon_alive(&rack->daemons[i]))
            return true;
    }
    return false;
}

/* The rack that is named, or the default one where it is up, or one for this run. */
static int find_rack(struct run *run, const char *option)
{
    bool named;
    const char *name = rack_choose_name(option, &named);
    if (!name)
        return CLI_USAGE;
    if (rack_locate(&run->rack, name) < 0)
        return CLI_RUN_FAILED;
    bool up = rack_load(&run->rack) == 0 && any_alive(&run->rack);
    if (!up && named) {
        cli_error("rack %s is not up (ashlar up --rack %s)", name, name);
        return CLI_RUN_FAILED;
    }
    if (!up && private_rack_start(&run->private, &run->rack, &run->plan) < 0)
        return CLI_RUN_FAILED;
    run->job.guardian = run->private.guardian;
    return CLI_OK;
}

static int open_stats(struct run *run)
{
    if (!run->stats_name)
        return CLI_OK;
    run->stats = strcmp(run->stats_name, "-") == 0 ? stderr : fopen(run->stats_name, "we");
    if (run->stats)
        return CLI_OK;
    cli_error("%s: %s", run->stats_name, strerror(errno));
    return CLI_RUN_FAILED;
}

static void write_stats(struct run *run, uint64_t began_ns, int exit_code)
{
    struct run_figures figures = {
        .excache_bytes = run->launch.granted_bytes,
        .peak_resident_bytes = run->job.peak_resident_bytes,
        .wall_ns = clock_ns() - began_ns,
        .user_us = run->job.user_us,
        .system_us = run->job.system_us,
        .exit_code = exit_code,
        .home = run->launch.place.memory.name,
        .storage = run->launch.place.storage.name,
        .node = run->launch.place.process.name,
        .policy = run->launch.policy == BOOT_POLICY_FIFO ? "fifo" : "lru",
    };
    int rc = run_stats_write(run->stats, run->launch.stats_fd, &figures);
    if (run->stats != stderr && fclose(run->stats) != 0)
        rc = -errno;
    run->stats = NULL;
    if (rc < 0)
        cli_error("%s: %s", run->stats_name, strerror(-rc));
}

/* Ends the run at its node: when this returns, its memory is free. */
static void close_run(struct run *run)
{
    struct msg_run_close request = {.run_id = run->launch.run_id};
    struct msg_run_close_reply reply;
    if (!run->job.node_lost) {
        int rc =
            NET_CALL(run->launch.node, RUN_CLOSE, run_close, &request, &reply, 2 * NODE_TIMEOUT_MS);
        job_print_events(&run->job);
        if (rc == ASH_LOST)
            job_lose_node(&run->job);
        else if (rc < 0)
            cli_error("%s did not close the run: %s", run->launch.place.process.name,
                      error_text(rc));
        run->job.home_lost = rc == 0 && reply.lost;
    }
    net_close(run->launch.node);
    run->launch.node = NULL;
}

static int run_on_rack(struct run *run)
{
    uint64_t began_ns = clock_ns();
    struct launch *launch = &run->launch;
    if (launch_open(launch, &run->rack) < 0)
        return CLI_RUN_FAILED;
    run->job.node = launch->node;
    run->job.node_name = launch->place.process.name;
    run->job.node_pid = launch->place.process.pid;
    int code = CLI_RUN_FAILED;
    if (job_prepare(&run->job) < 0)
        cli_error("cannot take signals: %s", strerror(errno));
    else if (launch_start(launch, &run->job.old_mask) == 0) {
        run->job.pid = launch->pid;
        job_wait(&run->job);
        close_run(run);
        code = job_exit_code(&run->job);
        job_finish(&run->job);
        if (run->stats)
            write_stats(run, began_ns, code);
    }
    if (launch->stats_fd >= 0)
        close(launch->stats_fd);
    net_close(launch->node);
    return code;
}

int cli_run(int argc, char **argv)
{
    struct cli_command command = {.name = "run", .help = help, .options = options};
    static struct run run = {.plan = {.memory = 1, .storage = 1, .process = 1}};
    run.launch.stats_fd = -1;
    run.launch.replicas = REPLICAS_DEFAULT;
    int code, option;
    while ((option = cli_option(&command, argc, argv, &code)) >= 0) {
        if (parse(option, optarg, &run) < 0)
            return cli_wrong_value(&command, option, optarg);
    }
    if (option == -2)
        return code;
    if (optind == argc) {
        fprintf(stderr, "ashlar run: PROGRAM is missing\nTry: ashlar run --help\n");
        return CLI_USAGE;
    }
    run.launch.argv = argv + optind;
    run.launch.program = run.program;
    run.launch.cwd = run.cwd;
    if ((code = find_program(&run)) != CLI_OK || (code = open_stats(&run)) != CLI_OK ||
        (code = find_rack(&run, command.rack)) != CLI_OK)
        return code;
    code = run_on_rack(&run);
    if (run.private.guardian)
        private_rack_end(&run.private);
    return code;
}
