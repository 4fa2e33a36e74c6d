#!/usr/bin/python3
"""Memory in straits: mComponents that are full, that are lost while a vfork child uses its parent's
memory, that are taken for lost both at once, and that are lost before a program has done anything."""
import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from racks import (PYTHON, await_end, await_true, check, finish, held, main,  # noqa: E402
                   memories, memory_becomes_free)

PATTERNS, VFORKS = os.path.abspath(sys.argv.pop(2)), os.path.abspath(sys.argv.pop(2))
SIZE = "32M"  # where it is to be used up


def single(t):
    return sum(c["single"] for c in memories(t).values() if c["state"] != "down")


def begin(t, *args, excache="4M", replicas="2"):
    return t.popen("run", "--excache", excache, "--replicas", replicas, "--", *args,
                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def hear(p, expected):
    line = p.stdout.readline()
    check(line == expected + "\n", "the program says", repr(line), p.poll(),
          "" if line else p.stderr.read())


def go_on(p):
    p.stdin.write("\n")
    p.stdin.flush()


def end(p):
    p.stdin.close()
    p.stdin = None
    check(finish(p, 60) == 0, p.returncode, p.err)


# ---- no room ----

def expect_ended(p, where, least):
    """For want of memory, and its user knows."""
    check(finish(p, 20) == 137, p.returncode, p.err)
    check(f"out of memory: {where} (memory) has no room left" in p.err and "ashlar up" in p.err, p.err)
    mebibytes = float(p.err.split(" MiB there")[0].split()[-1])
    check(least <= mebibytes <= 32, p.err)


def test_the_largest_run_ends(t):
    t.call("up", "--memory", "1", "--memory-size", SIZE)
    large = begin(t, PATTERNS, "22")
    hear(large, "round 0 right")
    small = begin(t, PATTERNS, "18")  # it writes, and is the smaller one when the frames are used up
    hear(small, "round 0 right")
    expect_ended(large, "m1", 20)
    go_on(small)
    hear(small, "round 1 right")
    end(small)
    memory_becomes_free(t)
    t.call("down")


def test_the_writer_ends_where_it_is_the_largest(t):
    t.call("up", "--memory", "1", "--memory-size", SIZE)
    # A family that shares nearly all it has: it is counted once.
    family = begin(t, PYTHON, "-c", """
import os
data = bytearray(8 << 20)
data[::4096] = bytes([7]) * (len(data) // 4096)
there, here = os.pipe()
for _ in range(3):
    if os.fork() == 0:
        os.close(here)
        os._exit(len(os.read(there, 1)))
print("ready", flush=True)
os.read(0, 1)
print("right" if set(data[::4096]) == {7} else "wrong", flush=True)
os.close(here)
assert not any(os.wait()[1] for _ in range(3))
os.read(0, 1)
""")
    hear(family, "ready")
    large = begin(t, PATTERNS, "32")
    expect_ended(large, "m1", 12)
    go_on(family)
    hear(family, "right")
    end(family)
    memory_becomes_free(t)
    t.call("down")


def test_second_copies_go_before_programs(t):
    t.call("up", "--memory", "2", "--memory-size", SIZE, "--replica-dram", "all")
    programs = [begin(t, PATTERNS, "20") for _ in range(2)]
    for p in programs:
        hear(p, "round 0 right")
    check(single(t) >= 2, "two copies of 40 MiB in 64")
    for p in programs:
        go_on(p)
        hear(p, "round 1 right")
    end(programs[0])
    await_true(lambda: single(t) == 0, "the other one has two copies again", 30)
    go_on(programs[1])
    hear(programs[1], "round 2 right")
    end(programs[1])
    memory_becomes_free(t)
    t.call("down")


# ---- losses ----

def lose(t, name, number):
    pid = memories(t)[name]["pid"]
    t.kill(pid, number)
    return pid


def of_home_and_replica(t):
    return [name for name, size in held(t).items() if size > 1 << 20]


def test_a_vfork_child_meets_a_loss(t):
    t.call("up", "--memory", "3", "--memory-size", "64M")
    p = begin(t, VFORKS, "12")
    hear(p, "ready")
    for number in signal.SIGKILL, signal.SIGSTOP, signal.SIGKILL:
        await_true(lambda: single(t) == 0, "two copies", 20)
        go_on(p)
        hear(p, "child")
        lost = lose(t, of_home_and_replica(t)[0], number)
        go_on(p)
        hear(p, "right")
        if number == signal.SIGSTOP:
            os.kill(lost, signal.SIGCONT)
        else:
            await_end([lost])
            t.call("up")
        await_true(lambda: all(c["state"] == "up" for c in memories(t).values()), "all are up")
    end(p)
    memory_becomes_free(t)
    t.call("down")


def test_both_are_taken_for_lost(t):
    t.call("up", "--memory", "2", "--memory-size", "64M")
    p = begin(t, PATTERNS, "12")
    hear(p, "round 0 right")
    check(single(t) == 0, "two copies")
    pids = [lose(t, name, signal.SIGSTOP) for name in ("m1", "m2")]
    go_on(p)
    await_true(lambda: all(c["state"] == "down" for c in memories(t).values()), "both are down")
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    hear(p, "round 1 right")
    await_true(lambda: single(t) == 0, "two copies", 20)
    lose(t, "m1", signal.SIGKILL)
    go_on(p)
    hear(p, "round 2 right")
    t.call("up")
    end(p)
    memory_becomes_free(t)
    t.call("down")


# ---- the first moments ----

# Where the home dies, having answered what comes before it and nothing else.
POINTS = ["create.begin:1", "copy.ready:1", "create.done:1", "grant.done:1", "ops.sent:1", "ops.done:1"]


def number_of(t, name):
    with open(os.path.join(t.base(), "default", name + ".log"), encoding="utf-8") as log:
        return int(re.search(r" as number (\d+)", log.read())[1])


def test_the_first_moments(t):
    for point in POINTS:
        t.call("up", "--memory", "3", "--memory-size", "64M")
        # A home is one that has just been started, and of these the one with the smallest number.
        home = min(memories(t), key=lambda name: number_of(t, name))
        await_end([lose(t, home, signal.SIGKILL)])
        t.env["ASHLAR_FAULT"] = f"{home}:{point}"
        t.call("up")
        del t.env["ASHLAR_FAULT"]
        armed = memories(t)[home]["pid"]
        p = begin(t, PATTERNS, "8")
        hear(p, "round 0 right")
        await_end([armed])
        end(p)
        t.call("up")
        memory_becomes_free(t)
        t.call("down")


if __name__ == "__main__":
    main(dict(globals()), sys.argv)
