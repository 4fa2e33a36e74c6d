/* See run_stats.h. */
#include "run_stats.h"

#include <errno.h>
#include <jansson.h>
#include <unistd.h>

#include "syscall_names.h"

/* Lower bound of a bucket, as process/contract/stats.h lays them out. */
static uint64_t bucket_start(unsigned b)
{
    uint64_t octave = 1ull << (b / 8);
    return octave + octave * (b % 8) / 8;
}

uint64_t run_stats_percentile(const uint64_t buckets[STATS_MISS_BUCKETS], unsigned percent)
{
    uint64_t total = 0, seen = 0;
    for (unsigned b = 0; b < STATS_MISS_BUCKETS; b++)
        total += buckets[b];
    if (total == 0)
        return 0;
    uint64_t wanted = (total * percent + 99) / 100;
    for (unsigned b = 0; b < STATS_MISS_BUCKETS; b++) {
        seen += buckets[b];
        if (seen >= wanted)
            return (bucket_start(b) + bucket_start(b + 1)) / 2;
    }
    return 0;
}

static json_t *number(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *messages_object(const struct run_stats *s)
{
    json_t *object = json_object();
    for (int i = 0; i < OP_COUNT; i++) {
        if (s->messages[i])
            json_object_set_new(object, wire_op_name_at(i), number(s->messages[i]));
    }
    return object;
}

static json_t *syscalls_object(const struct run_stats *s)
{
    json_t *object = json_object();
    for (int i = 0; i < STATS_SYSCALLS; i++) {
        char text[16];
        const char *name = i < SYSCALL_NAMES ? syscall_names[i] : NULL;
        if (!name) {
            snprintf(text, sizeof text, "%d", i);
            name = text;
        }
        if (s->syscalls[i])
            json_object_set_new(object, name, number(s->syscalls[i]));
    }
    return object;
}

int run_stats_write(FILE *out, int stats_fd, const struct run_figures *f)
{
    static struct run_stats s;
    if (pread(stats_fd, &s, sizeof s, 0) != sizeof s || s.size_bytes != sizeof s)
        return -EINVAL;
    uint64_t calls = 0;
    for (int i = 0; i < STATS_SYSCALLS; i++)
        calls += s.syscalls[i];
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"misses", s.misses},
        {"p_local_fills", s.p_local_fills},
        {"lines_fetched", s.lines_fetched},
        {"lines_written_back", s.lines_written_back},
        {"evictions", s.evictions},
        {"rescued", s.rescued},
        {"miss_ns_p50", run_stats_percentile(s.miss_ns, 50)},
        {"miss_ns_p99", run_stats_percentile(s.miss_ns, 99)},
        {"excache_bytes", f->excache_bytes},
        {"peak_resident_bytes", f->peak_resident_bytes},
        {"peak_lines", s.peak_lines},
        {"write_protect_faults", s.write_protect_faults},
        {"dispatched_calls", s.dispatched_calls},
        {"rewritten_calls", calls > s.dispatched_calls ? calls - s.dispatched_calls : 0},
        {"processes", s.processes},
        {"wall_ns", f->wall_ns},
        {"user_us", f->user_us},
        {"system_us", f->system_us},
    };
    json_t *root = json_object();
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        json_object_set_new(root, numbers[i].name, number(numbers[i].value));
    json_object_set_new(root, "exit_code", json_integer(f->exit_code));
    json_object_set_new(root, "policy", json_string(f->policy));
    json_object_set_new(root, "process", json_string(f->node));
    json_object_set_new(root, "home", json_string(f->home));
    json_object_set_new(root, "storage", json_string(f->storage));
    json_object_set_new(root, "messages", messages_object(&s));
    json_object_set_new(root, "syscalls", syscalls_object(&s));
    int rc =
        json_dumpf(root, out, JSON_INDENT(2)) == 0 && fputc('\n', out) != EOF && fflush(out) == 0
            ? 0
            : -EIO;
    json_decref(root);
    return rc;
}
