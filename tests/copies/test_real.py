#!/usr/bin/python3
"""Real programs in a small ExCache over 4 mComponents, which are killed and frozen at random moments.

usage: test_real.py ASHLAR PATTERNS CHECKER LOSSES MEBIBYTES [--drop]

One after the other until there were LOSSES losses, with each policy; every output is the native one.
MEBIBYTES is what python3 builds and sort reads.
"""
import itertools
import os
import random
import select
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("..", "../pressure"):
    sys.path.insert(0, os.path.join(HERE, folder))
from racks import await_true, check, main, memories, memory_becomes_free, two_copies  # noqa: E402
from test_copies import LOSSES, SEED, come_back, lose, up  # noqa: E402
from test_pressure import HERE as PRESSURE, PLAIN, ROWS, columns, random_lines, text  # noqa: E402

MEBIBYTES = int(sys.argv.pop(2))
RUN_S, COPIED_S = 1800, 300


def programs(t):
    """By name; natively they need 20 to 400 MiB with 256."""
    random_lines(f"{t.work}/lines", MEBIBYTES << 20, 1000)
    columns(f"{t.work}/columns", ROWS)
    text(f"{t.work}/text", 24 << 20)
    return {"python3": ["/usr/bin/python3", f"{PRESSURE}/objects.py", str(MEBIBYTES)],
            "sort": ["/usr/bin/sort", "--parallel=2", "lines"],
            "sqlite3": ["/usr/bin/sqlite3", "-batch", ":memory:", f".read {PRESSURE}/rows.sql"],
            "perl": ["/usr/bin/perl", f"{PRESSURE}/table.pl", "80000"],
            "gawk": ["/usr/bin/gawk", "-f", f"{PRESSURE}/columns.awk", "columns"],
            "xz": ["/bin/sh", "-c", "xz -T2 -0 --block-size=4MiB -c text | xz -T2 -dc | cmp - text && "
                   "xz -T1 -0 -c text | sha256sum"]}


def one_run(t, argv, policy, chance, most):
    """(output, losses while it ran)"""
    with open(f"{t.runtime}/output", "w+b") as output:
        p = t.popen("run", "--excache", "16M", "--policy", policy, "--", *argv, stdout=output,
                    stderr=output, stdin=subprocess.DEVNULL,
                    env={**PLAIN, "XDG_RUNTIME_DIR": t.runtime})
        ended, losses = os.pidfd_open(p.pid), 0
        while losses < most:
            await_true(lambda: two_copies(t), "two copies", COPIED_S)
            if select.select([ended], [], [], chance.uniform(0, 2))[0]:
                break
            name = chance.choice(sorted(memories(t)))
            number = chance.choice([signal.SIGKILL, signal.SIGSTOP])
            come_back(t, lose(t, name, number), number)
            losses += 1
        os.close(ended)
        code = p.wait(RUN_S)
        output.seek(0)
        said = output.read()
        check(code == 0, argv, f"after {losses} losses: code {code}", said[-1000:])
        return said, losses


def through_losses(t, policy, seed):
    chance, done, runs = random.Random(seed), 0, 0
    natively = {name: (argv, subprocess.run(argv, env=PLAIN, cwd=t.work, check=True,
                                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE).stdout)
                for name, argv in programs(t).items()}
    up(t, 4, f"{max(MEBIBYTES * 3, 256)}M")
    for name in itertools.cycle(natively):
        argv, expected = natively[name]
        said, losses = one_run(t, argv, policy, chance, LOSSES - done)
        done, runs = done + losses, runs + 1
        print(f"  {name}: {losses} losses, {done} in all", flush=True)
        check(said == expected, f"seed {seed}, {name}: other output,", said[:300], "not", expected[:300])
        if done >= LOSSES and runs >= len(natively):
            break
    memory_becomes_free(t)
    t.call("down")


def test_lru(t):
    through_losses(t, "lru", SEED)


def test_fifo(t):
    through_losses(t, "fifo", SEED + 1)


if __name__ == "__main__":
    main({k: v for k, v in globals().items() if getattr(v, "__module__", "") == __name__}, sys.argv)
