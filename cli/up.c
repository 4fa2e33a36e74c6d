/* ashlar up: starts a rack on this machine, or those of its daemons that are gone. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "daemons.h"

static const char help[] =
    "usage: ashlar up [OPTION...]\n\n"
    "Starts a rack on this machine: each component is a background process of its own.\n"
    "On a rack that is up, starts those of its daemons that have ended.\n\n"
    "  --memory N         mComponents (default 2)\n"
    "  --memory-size SIZE memory of each (default: half of this machine's, over all)\n"
    "  --replica-dram SIZE\n"
    "                     what second copies of memory may take of each mComponent's DRAM; more\n"
    "                     of them lies in logs at sComponents (default: an eighth of its memory;\n"
    "                     all: there are no logs)\n"
    "  --memory-file PATH,SIZE\n"
    "                     one more mComponent, of cold memory: a file on disk or NVMe, which is\n"
    "                     made there. May be given again; with it, --memory may be 0\n"
    "  --storage N        sComponents (default 1)\n"
    "  --log-dir DIRECTORY\n"
    "                     where sComponents keep these logs (default: the rack's directory)\n"
    "  --process N        pComponents (default 1)\n"
    "  --excache-total SIZE\n"
    "                     local memory for all the programs of a pComponent together\n"
    "                     (default: a quarter of this machine's)\n"
    "  --transport tcp    how the components talk\n"
    "  --rack NAME        the rack's name (default: ASHLAR_RACK, or \"default\")\n\n"
    "SIZE is a number of bytes, or one with K, M, G or T (powers of 1024).\n";

enum {
    OPT_MEMORY = CLI_OPT_OWN,
    OPT_MEMORY_SIZE,
    OPT_MEMORY_FILE,
    OPT_REPLICA_DRAM,
    OPT_STORAGE,
    OPT_LOG_DIR,
    OPT_PROCESS,
    OPT_EXCACHE_TOTAL,
    OPT_TRANSPORT
};

static const struct option options[] = {
    {"memory", required_argument, NULL, OPT_MEMORY},
    {"memory-size", required_argument, NULL, OPT_MEMORY_SIZE},
    {"replica-dram", required_argument, NULL, OPT_REPLICA_DRAM},
    {"memory-file", required_argument, NULL, OPT_MEMORY_FILE},
    {"storage", required_argument, NULL, OPT_STORAGE},
    {"log-dir", required_argument, NULL, OPT_LOG_DIR},
    {"process", required_argument, NULL, OPT_PROCESS},
    {"excache-total", required_argument, NULL, OPT_EXCACHE_TOTAL},
    {"transport", required_argument, NULL, OPT_TRANSPORT},
    CLI_COMMON_OPTIONS,
};

/* PATH,SIZE; the daemon does not work in the directory that PATH may be relative to. */
static int add_file(const char *value, struct rack_plan *plan)
{
    char here[RACK_FILE_MAX] = "";
    const char *comma = strrchr(value, ',');
    struct memory_file *file = &plan->files[plan->files_count];
    if (plan->files_count == RACK_FILES_MAX || !comma || comma == value)
        return -EINVAL;
    if (*value != '/' && !getcwd(here, sizeof here))
        return -errno;
    if (snprintf(file->path, sizeof file->path, "%s%s%.*s", here, *here ? "/" : "",
                 (int)(comma - value), value) >= (int)sizeof file->path)
        return -ENAMETOOLONG;
    plan->files_count++;
    return cli_size_at_least(comma + 1, RACK_MEMORY_LEAST, &file->size_bytes);
}

/* Handed on as it is. */
static int set_replica_dram(const char *value, struct rack_plan *plan)
{
    uint64_t bytes;
    if (strlen(value) >= sizeof plan->replica_dram)
        return -EINVAL;
    strcpy(plan->replica_dram, value);
    return strcmp(value, "all") == 0 ? 0 : cli_size_at_least(value, RACK_MEMORY_LEAST, &bytes);
}

/* A directory that is there; absolute, since the daemons do not work in this one. */
static int set_log_dir(const char *value, struct rack_plan *plan)
{
    char path[PATH_MAX];
    struct stat st;
    if (!realpath(value, path) || stat(path, &st) < 0)
        return -errno;
    if (!S_ISDIR(st.st_mode))
        return -ENOTDIR;
    if (strlen(path) >= sizeof plan->log_dir)
        return -ENAMETOOLONG;
    strcpy(plan->log_dir, path);
    return 0;
}

static int parse(int option, const char *value, struct rack_plan *plan)
{
    switch (option) {
    case OPT_MEMORY:
        plan->memory = 0;
        return strcmp(value, "0") == 0 ? 0 : cli_count(value, &plan->memory);
    case OPT_MEMORY_FILE:
        return add_file(value, plan);
    case OPT_REPLICA_DRAM:
        return set_replica_dram(value, plan);
    case OPT_STORAGE:
        return cli_count(value, &plan->storage);
    case OPT_LOG_DIR:
        return set_log_dir(value, plan);
    case OPT_PROCESS:
        return cli_count(value, &plan->process);
    case OPT_MEMORY_SIZE:
        return cli_size_at_least(value, RACK_MEMORY_LEAST, &plan->memory_size_bytes);
    case OPT_EXCACHE_TOTAL:
        return cli_size_at_least(value, RACK_EXCACHE_LEAST, &plan->excache_total_bytes);
    default:
        return strcmp(value, "tcp") == 0 ? 0 : -EINVAL;
    }
}

static void print_rack(struct rack *rack)
{
    for (unsigned i = 0; i < rack->count; i++) {
        const struct daemon_record *d = &rack->daemons[i];
        char size[16] = "";
        if (d->kind == COMPONENT_MEMORY)
            cli_size(d->file.size_bytes ? d->file.size_bytes : rack->memory_size_bytes, size);
        printf("  %-4s %-8s pid %-7d %-21s %s%s%s\n", d->name, rack_kind_name(d->kind), (int)d->pid,
               d->address, size, d->file.size_bytes ? " at " : "", d->file.path);
    }
    bool usual = strcmp(rack->name, RACK_DEFAULT) == 0;
    const char *with = usual ? "" : " --rack ", *name = usual ? "" : rack->name;
    printf("\nNow:  ashlar run%s%s -- python3 -c 'print(6 * 7)'\n"
           "      ashlar status%s%s\n"
           "      ashlar down%s%s\n",
           with, name, with, name, with, name);
}

static int bring_up(struct rack *rack, const struct rack_plan *plan)
{
    int rc = rack_load(rack);
    if (rc == 0) {
        rc = daemons_restart(rack);
        if (rc < 0)
            return CLI_FAILED;
        if (rc == 0) {
            cli_error("rack %s is up already (ashlar status; ashlar down)", rack->name);
            return CLI_FAILED;
        }
        printf("Rack %s: started again what had ended (%d of %u).\n", rack->name, rc, rack->count);
    } else {
        if (daemons_start(rack, plan) < 0) {
            (void)!rack_remove(rack);
            return CLI_FAILED;
        }
        printf("Rack %s is up.\n", rack->name);
    }
    print_rack(rack);
    return CLI_OK;
}

int cli_up(int argc, char **argv)
{
    struct cli_command command = {.name = "up", .help = help, .options = options};
    struct rack_plan plan = {.memory = 2, .storage = 1, .process = 1, .lifeline_fd = -1};
    int code, option;
    while ((option = cli_option(&command, argc, argv, &code)) >= 0) {
        if (parse(option, optarg, &plan) < 0)
            return cli_wrong_value(&command, option, optarg);
    }
    if (option == -2)
        return code;
    if ((code = cli_no_arguments(&command, argc, argv)) != CLI_OK)
        return code;
    if (plan.memory + plan.files_count == 0)
        return cli_wrong_value(&command, OPT_MEMORY, "0");

    struct rack rack;
    if ((code = rack_name(&rack, command.rack)) != CLI_OK)
        return code;
    int rc = rack_lock(&rack, true);
    if (rc < 0) {
        cli_error("%s cannot be used: %s", rack.dir, strerror(-rc));
        return CLI_FAILED;
    }
    code = bring_up(&rack, &plan);
    rack_unlock(&rack);
    return code;
}
