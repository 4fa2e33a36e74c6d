#!/usr/bin/python3
"""Many processes that were forked from a large one, all there at a time, in a small ExCache each.

usage: test_forks.py ASHLAR FORKS MEBIBYTES PROCESSES EXCACHE_MIB [--drop]

What each finds in its memory; the bound of each, by the host's accounting, while all wait; and that
nothing is held afterwards. The large one's memory is there twice, and not once for each process. All the
ExCaches are full at that moment: the host needs memory for them, too.
"""
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from racks import await_true, check, holds, main  # noqa: E402
from resident import OWN_BYTES, OWN_SHARE, Frozen, descendants, is_program, resident  # noqa: E402

FORKS = os.path.abspath(sys.argv.pop(2))
MEBIBYTES, PROCESSES, EXCACHE = (int(sys.argv.pop(2)) for _ in range(3))
MIB = 1 << 20
CHANGES = 50  # pages of each process
SAMPLE = EXCACHE * MIB // 4096 * 5 // 4  # that it reads then: all that it changed leaves
TIMEOUT_S = 1800


def used(t):
    return sum(holds(c) for c in t.components(code=None).values() if c["kind"] == "memory")


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
    there_s, held = time.monotonic() - began, used(t)
    the_bound_holds(t, p)
    out, err = p.communicate("\n", timeout=TIMEOUT_S)
    check((p.returncode, out, err) == (0, "right\n", ""), p.returncode, out, err)
    with open(stats_path) as f:
        stats = json.load(f)
    print(f"  all there after {there_s:.1f} s, ended after {time.monotonic() - began:.1f} s; held "
          f"{held >> 20} MiB; {stats['misses']} misses, {stats['messages'].get('space_clone')} clones",
          flush=True)
    # Its own are what a process changed, with a page of its table for each, and up to 1024 lines that
    # were dirty when it was forked.
    own = PROCESSES * (2 * CHANGES + 64 + 1024) * 4096
    check(held <= 2 * (MEBIBYTES * MIB + 8 * MIB + own), f"{held >> 20} MiB are held, not shared")
    check(stats["processes"] == PROCESSES + 1, stats["processes"])
    if MEBIBYTES > 2 * EXCACHE:
        check(stats["evictions"] > 0 and stats["lines_fetched"] > 0, "no line ever left:", stats)
    await_true(lambda: used(t) == 0, "memory is free", 20)
    t.call("down")


if __name__ == "__main__":
    main(dict(globals()), sys.argv)
