#!/usr/bin/python3
"""Many processes that were forked from a large one, all there at a time, in a small ExCache each.

usage: test_forks.py ASHLAR FORKS MEBIBYTES PROCESSES EXCACHE_MIB [--drop]

What each finds in its memory; the bound of each, by the host's accounting, while all wait; and that
nothing is held afterwards. The large one's memory is there twice, and not once for each process; nor is it
after the mComponent that has most of it was lost, and all have two copies again. All the ExCaches are full
at that moment: the host needs memory for them, too.
"""
import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from racks import await_true, check, held, main, memories, memory_becomes_free, two_copies  # noqa: E402
from resident import OWN_BYTES, OWN_SHARE, Frozen, descendants, is_program, resident  # noqa: E402

FORKS = os.path.abspath(sys.argv.pop(2))
MEBIBYTES, PROCESSES, EXCACHE = (int(sys.argv.pop(2)) for _ in range(3))
MIB = 1 << 20
CHANGES = 50  # pages of each process
SAMPLE = EXCACHE * MIB // 4096 * 5 // 4  # that it reads then: all that it changed leaves
TIMEOUT_S = 1800


def used(t):
    return sum(held(t).values())


def the_bound_holds(t, p):
    """Of every process, as the host accounts for it."""
    own_limit = OWN_BYTES + int(MEBIBYTES * MIB * OWN_SHARE)
    seen = []
    for pid in descendants(p.pid):
        if is_program(pid):
            with Frozen(pid):
                seen.append(resident(pid))
    check(len(seen) == PROCESSES + 1, f"{len(seen)} processes, not {PROCESSES + 1}")
    inside, outside = (max(s[i] for s in seen) for i in (0, 1))
    print(f"  {len(seen)} processes: resident at most {inside >> 10} KiB + own {outside >> 10} KiB",
          flush=True)
    check(inside <= EXCACHE * MIB, f"{inside} bytes of a program resident, over {EXCACHE} MiB")
    check(outside <= own_limit, f"ashlar-exec's own memory {outside}, over {own_limit}")


def lose_the_largest(t):
    """Kills the mComponent that holds most; (what is held, in how many seconds) when all is there twice.
    What the registry knows may be from before the loss: but not when as much is held as before."""
    before = used(t)
    name = max(held(t).items(), key=lambda item: item[1])[0]
    began = time.monotonic()
    t.kill(memories(t)[name]["pid"], signal.SIGKILL)
    await_true(lambda: memories(t)[name]["state"] == "down", name + " is down")
    await_true(lambda: two_copies(t) and used(t) > before * 9 // 10, "two copies", TIMEOUT_S)
    return used(t), time.monotonic() - began


def test_all_at_once(t):
    # What the children write lies where the lines were that they share: at their parent's home, mostly.
    each = max(2 * MEBIBYTES, 128)
    t.call("up", "--memory", "4", "--memory-size", f"{each}M", "--excache-total",
           f"{(PROCESSES + 2) * EXCACHE}M")
    stats_path = os.path.join(t.runtime, "stats.json")
    began = time.monotonic()
    p = t.popen("run", "--excache", f"{EXCACHE}M", "--stats", stats_path, "--", FORKS, str(MEBIBYTES),
                str(PROCESSES), str(CHANGES), str(SAMPLE), stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = p.stdout.readline()
    check(line == "there\n", "the program says", repr(line), p.poll(), "" if line else p.stderr.read())
    there_s, first = time.monotonic() - began, used(t)
    the_bound_holds(t, p)
    again, copied_s = lose_the_largest(t)
    out, err = p.communicate("\n", timeout=TIMEOUT_S)
    check((p.returncode, out, err) == (0, "right\n", ""), p.returncode, out, err)
    with open(stats_path) as f:
        stats = json.load(f)
    print(f"  all there after {there_s:.1f} s, ended after {time.monotonic() - began:.1f} s; held "
          f"{first >> 20} MiB; {stats['misses']} misses, {stats['messages'].get('space_clone')} clones",
          flush=True)
    # Its own are what a process changed, with a page of its table for each, and up to 1024 lines that
    # were dirty when it was forked.
    own = PROCESSES * (2 * CHANGES + 64 + 1024) * 4096
    print(f"  after a loss all was there twice within {copied_s:.1f} s; held {again >> 20} MiB", flush=True)
    for what in (first, again):
        check(what <= 2 * (MEBIBYTES * MIB + 8 * MIB + own), f"{what >> 20} MiB are held, not shared")
    check(stats["processes"] == PROCESSES + 1, stats["processes"])
    if MEBIBYTES > 2 * EXCACHE:
        check(stats["evictions"] > 0 and stats["lines_fetched"] > 0, "no line ever left:", stats)
    memory_becomes_free(t)
    t.call("down")


if __name__ == "__main__":
    main(dict(globals()), sys.argv)
