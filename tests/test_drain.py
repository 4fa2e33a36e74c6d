#!/usr/bin/python3
"""ashlar drain: what it refuses, what it shows, and that nothing is placed on what is drained; and
shared memory, which the node keeps, when its mComponents are drained, killed and frozen."""
import json
import os
import signal
import subprocess
import sys
import time

from racks import PYTHON, await_true, check, finish, holds, main, memories, up

# Two processes that change memory which they share, much larger than the ExCache: a round each time
# that a line is read.
SHARED = """
import mmap, os, sys
LINES = 4096
shared = mmap.mmap(-1, LINES * 4096)
for i in range(LINES):
    shared[i * 4096:i * 4096 + 8] = (i * 37).to_bytes(8, "little")
to_child, to_parent = os.pipe(), os.pipe()
def change(n, first):
    for i in range(first, LINES, 2):
        at = i * 4096
        if int.from_bytes(shared[at:at + 8], "little") != i * 37 + n:
            sys.exit(f"line {i} is wrong in round {n}")
        shared[at:at + 8] = (i * 37 + n + 1).to_bytes(8, "little")
if os.fork() == 0:
    os.close(to_child[1])
    os.close(to_parent[0])
    n = 0
    while os.read(to_child[0], 1):
        change(n, 1)
        os.write(to_parent[1], b"!")
        n += 1
    os._exit(0)
os.close(to_parent[1])
print("begun", flush=True)
for n, line in enumerate(sys.stdin):
    os.write(to_child[1], b"!")
    change(n, 0)
    if os.read(to_parent[0], 1) != b"!":
        sys.exit("the child ended")
    print("right", flush=True)
os.close(to_child[1])
sys.exit(os.wait()[1])
"""


def states(t, code=0):
    return {name: c["state"] for name, c in t.components(code=code).items()}


def home_of_a_run(t):
    path = os.path.join(t.work, "stats.json")
    t.call("run", "--stats", path, "/bin/true")
    with open(path) as f:
        return json.load(f)["home"]


def refused(t, *args, code=1):
    err = t.call("drain", *args, code=code).err
    check(err.startswith("ashlar") and err.count("\n") <= 2, repr(err))
    return err


def test_what_is_refused(t):
    check("no rack" in refused(t, "m1", code=3))
    up(t)
    for args in ([], ["m1", "m2"], ["--frobnicate", "m1"], ["m1", "--undo", "m2"]):
        check("--help" in t.call("drain", *args, code=2).err, args)
    check("no component m9" in refused(t, "m9"))
    check("no component m9" in refused(t, "--undo", "m9"))
    for name, kind in (("s1", "storage"), ("p1", "process"), ("g1", "global")):
        err = refused(t, name)
        check(f"{name} is no mComponent" in err and kind in err, err)
    t.kill(t.components()["m2"]["pid"])
    await_true(lambda: "is down" in refused(t, "m2"), "m2 down")
    err = refused(t, "m1")  # the last one
    check("m1 is the only mComponent" in err, err)
    check(states(t, code=1)["m1"] == "up")
    t.kill(t.components(code=1)["g1"]["pid"])
    check("global managers" in refused(t, "m1"))
    t.call("down")


def test_a_single_one_is_not_drained(t):
    up(t, "--memory", "1")
    check("m1 is the only mComponent" in refused(t, "m1"))
    check(t.status()["health"] == "ok" and states(t)["m1"] == "up")
    t.call("down")


def test_nothing_new_is_placed(t):
    up(t)
    check({home_of_a_run(t) for _ in range(4)} == {"m1", "m2"})
    out = t.call("drain", "m2").out
    check(out.startswith("m2 is empty") and "--undo m2" in out, out)
    status = t.status()
    check(status["health"] == "ok", status)
    check(states(t) == {"g1": "up", "m1": "up", "m2": "draining", "s1": "up", "p1": "up"}, status)
    check(any(line.split()[:1] == ["m2"] and "draining" in line
              for line in t.call("status").out.splitlines()))
    check({home_of_a_run(t) for _ in range(4)} == {"m1"})
    check("m1 is the only mComponent" in refused(t, "m1"))
    # It stays so when it is started again, or the global managers are.
    for name in ("m2", "g1"):
        t.kill(t.components()[name]["pid"])
        t.call("up")
        t.await_healthy()
        check(states(t)["m2"] == "draining", name)
    result = json.loads(t.call("drain", "m2", "--json").out)
    check(result["id"] == "m2" and result["state"] == "draining", result)
    check(result["used_bytes"] == 0 and result["processes"] == 0, result)

    check(t.call("drain", "m2", "--undo").out == "m2 takes part again.\n")
    check(states(t)["m2"] == "up")
    check(json.loads(t.call("drain", "--undo", "--json", "m2").out)["state"] == "up")
    check({home_of_a_run(t) for _ in range(4)} == {"m1", "m2"})
    t.call("down")


def home_of(t):
    return json.loads(t.call("ps", "--json").out)["processes"][0]["home"]


def test_the_drained_one_is_stopped(t):
    """Under a program that does nothing meanwhile, and goes on afterwards."""
    up(t, "--memory", "3")
    script = """
import sys
data = bytearray(24 << 20)
for i in range(0, len(data), 4096):
    data[i] = i // 4096 % 251
print("ready", flush=True)
sys.stdin.readline()
print(all(data[i] == i // 4096 % 251 for i in range(0, len(data), 4096)))
"""
    p = t.popen("run", "--excache", "8M", "--", PYTHON, "-c", script, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    check(p.stdout.readline() == "ready\n", p.poll())
    home = home_of(t)
    t.call("drain", home)
    await_true(lambda: home_of(t) != home, "the home of what was moved is elsewhere")
    t.kill(t.components()[home]["pid"])
    p.stdin.write("\n")
    p.stdin.flush()
    check(finish(p) == 0 and p.out == "True\n", p.returncode, p.out, p.err)
    t.call("up")
    t.await_healthy()
    await_true(lambda: not any(holds(c) for c in memories(t).values()), "memory is free")
    t.call("down")


def test_a_drain_is_taken_back(t):
    """While a program's memory lies there; the program notices nothing."""
    up(t)
    p = t.popen("run", "/bin/cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True)
    p.stdin.write("hello\n")
    p.stdin.flush()
    check(p.stdout.readline() == "hello\n")
    ps = json.loads(t.call("ps", "--json").out)["processes"]
    home = ps[0]["home"]
    drain = t.popen("drain", home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    await_true(lambda: states(t)[home] == "draining", "draining")
    t.call("drain", "--undo", home)
    out, err = drain.communicate(timeout=10)
    # It has either ended before, with everything moved, or been told.
    check((drain.returncode, "takes part again" in err) in ((1, True), (0, False)), out, err)
    check(states(t)[home] == "up")
    p.stdin.write("again\n")
    p.stdin.close()
    check(p.stdout.read() == "again\n")
    check(p.wait(10) == 0, p.stderr.read())
    t.call("down")


def test_replicas_are_one_or_two(t):
    up(t)
    for value in ("0", "3", "x", "", "22"):
        check("--replicas" in t.call("run", "--replicas", value, "/bin/true", code=2).err, value)
    for value in ("1", "2"):
        check(t.call("run", "--replicas", value, "/bin/echo", value).out == value + "\n")
    t.call("down")


# ---- shared memory ----

def start_shared(t):
    up(t, "--memory", "3")
    p = t.popen("run", "--excache", "8M", "--", PYTHON, "-c", SHARED, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    check(p.stdout.readline() == "begun\n", p.poll())
    works(p)
    return p


def works(p):
    p.stdin.write("\n")
    p.stdin.flush()
    began = time.monotonic()
    line = p.stdout.readline()
    check(line == "right\n", repr(line), p.poll(), "" if line else p.stderr.read())
    return time.monotonic() - began


def ends_well(t, p):
    check(finish(p) == 0, p.returncode, p.err)
    await_true(lambda: not any(holds(c) for c in memories(t).values()), "memory is free")
    t.call("down")


def holders(t):
    """The mComponents that have much of the program's memory."""
    return [name for name, c in memories(t).items() if holds(c) > 12 << 20]


def two_copies(t):
    return not any(c["single"] for c in memories(t).values())


def test_shared_memory_is_drained(t):
    p = start_shared(t)
    for name in ("m1", "m2", "m3"):
        t.call("drain", name)
        check(holds(memories(t)[name]) == 0, memories(t))
        works(p)
        t.call("drain", "--undo", name)
    ends_well(t, p)


def survives(t, number):
    p = start_shared(t)
    for _ in range(2):
        await_true(lambda: len(holders(t)) == 2 and two_copies(t), "two copies", 20)
        usual = works(p)
        victim = memories(t)[holders(t)[0]]["pid"]
        t.kill(victim, number)
        took = works(p)
        print(f"  a round over the loss took {took:.2f} s, without one {usual:.2f} s", flush=True)
        if number == signal.SIGSTOP:
            t.kill(victim, signal.SIGCONT)
        else:
            t.call("up")
        t.await_healthy()
        works(p)
    ends_well(t, p)


def test_shared_memory_of_a_killed_mcomponent(t):
    survives(t, signal.SIGKILL)


def test_shared_memory_of_a_frozen_mcomponent(t):
    survives(t, signal.SIGSTOP)


if __name__ == "__main__":
    main(dict(globals()), sys.argv)
