#!/usr/bin/python3
"""What a program has locked stays in its ExCache as far as half of that, and is evicted as before beyond.

Usage: test_locked.py ASHLAR LOCKED [test...]
"""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from racks import check, main, memory_is_free, up  # noqa: E402

LOCKED = os.path.abspath(sys.argv.pop(2))
LINES = 256  # of a MiB


def run(t, cache, *args, options=()):
    """Runs the program; how many lines were resident after each sweep, once unlocked, and its misses."""
    stats = os.path.join(t.work, "stats")
    p = t.call("run", "--excache", cache, "--stats", stats, *options, "--", LOCKED, *args, timeout=120)
    figures = [line.split() for line in p.out.splitlines()]
    with open(stats) as f:
        misses = json.load(f)["misses"]
    return ([int(n) for word, n in figures if word == "resident"],
            [int(n) for word, n in figures if word == "unlocked"][0], misses)


def test_a_quarter_stays(t):
    up(t)
    for how, mib in (("mlock", 8), ("onfault", 8), ("all", 4)):
        for options in ((), ("--policy", "fifo"), ("--no-move",)):
            resident, unlocked, _ = run(t, "32M", str(mib), "200", how, options=options)
            check(resident == [mib * LINES] * 4, how, options, "resident:", resident)
            check(unlocked < mib * LINES // 2, how, options, "unlocked, resident:", unlocked)
    memory_is_free(t)
    t.call("down")


def test_no_miss(t):
    """Reading what is locked all the while, 800 times, misses nothing."""
    up(t)
    without = run(t, "32M", "8", "200", "mlock")[2]
    touched = run(t, "32M", "8", "200", "mlock", "touch")[2]
    check(touched - without < without // 50, "misses:", without, touched)
    t.call("down")


def test_more_than_half_is_not_held(t):
    """It runs to its end, however little room is left beside what is locked."""
    up(t)
    for mib, cache in (("6", "8M"), ("8", "8M"), ("4", "8M"), ("7", "2M")):
        run(t, cache, mib, "50", "mlock", "touch")
    memory_is_free(t)
    t.call("down")


if __name__ == "__main__":
    main(dict(globals()), sys.argv)
