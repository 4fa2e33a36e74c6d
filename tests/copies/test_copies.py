#!/usr/bin/python3
"""Programs over many mComponents, which are killed, frozen, drained and added under them."""
import os
import random
import select
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from racks import (PYTHON, await_end, await_true, check, finish, held, main,  # noqa: E402
                   memories, memory_becomes_free, two_copies)

PATTERNS, CHECKER = os.path.abspath(sys.argv.pop(2)), os.path.abspath(sys.argv.pop(2))
LOSSES = int(sys.argv.pop(2))  # in a row, with each policy
SEED = int(os.environ.get("ASHLAR_SEED", "1"))
DOWN_S = 3  # a lost mComponent is known to be lost within this


def up(t, memory, size):
    t.call("up", "--memory", str(memory), "--memory-size", size)


def patterns(t, mebibytes, *options, excache="8M"):
    p = t.popen("run", "--excache", excache, *options, "--", PATTERNS, str(mebibytes),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    p.round = -1
    next_round(p)
    return p


def next_round(p):
    if p.round >= 0:
        p.stdin.write("\n")
        p.stdin.flush()
    p.round += 1
    line = p.stdout.readline()
    check(line == f"round {p.round} right\n", "the program says", repr(line), p.poll(),
          "" if line else p.stderr.read())


def end(p):
    p.stdin.close()
    p.stdin = None
    check(finish(p, 60) == 0, p.returncode, p.err)


def ask_in_vain(p):
    """For a further round, of a program that may have ended."""
    try:
        p.stdin.write("\n")
        p.stdin.close()
    except BrokenPipeError:
        pass
    p.stdin = None


def lose(t, name, number):
    """Kills or freezes an mComponent and waits until the rack knows."""
    pid = memories(t)[name]["pid"]
    t.kill(pid, number)
    await_true(lambda: memories(t)[name]["state"] == "down", name + " is down", DOWN_S)
    return pid


def come_back(t, pid, number):
    if number == signal.SIGSTOP:
        os.kill(pid, signal.SIGCONT)
    else:
        await_end([pid])
        t.call("up")
    await_true(lambda: all(c["state"] == "up" for c in memories(t).values()), "all are up")


# ---- distribution ----

def test_larger_than_any_mcomponent(t):
    up(t, 4, "96M")
    p = patterns(t, 256, "--replicas", "1")
    check(sum(size > 16 << 20 for size in held(t).values()) >= 3, "not spread:", held(t))
    next_round(p)
    end(p)
    memory_becomes_free(t)
    t.call("down")


def test_the_steps_of_an_allocation(t):
    up(t, 3, "80M")
    p = t.call("run", "--trace=alloc", "--replicas", "1", "--", PATTERNS, "100")
    check("round 0 right" in p.out, p.out, p.err)
    for step in "(1)", "(2)", "(3)", "(4)", "(5)", "(6)", "part 1, at m":
        check(step in p.err, "no", step, "in", p.err)
    t.call("down")


def test_forks_share_over_parts(t):
    up(t, 3, "96M")
    script = """
import os, sys
data = bytearray(120 << 20)
for i in range(0, len(data), 4096):
    data[i] = i // 4096 * 37 % 251
marks = [data[i] for i in range(0, len(data), 4096)]
def right(changed=()):
    return all(data[i * 4096] == (m + 1) % 256 if i in changed else data[i * 4096] == m
               for i, m in enumerate(marks))
for n in range(3):
    pid = os.fork()
    if pid == 0:
        mine = range(n, len(marks), 97)
        for i in mine:
            data[i * 4096] = (data[i * 4096] + 1) % 256
        os._exit(0 if right(set(mine)) else 1)
    if os.waitpid(pid, 0)[1]:
        sys.exit(f"child {n}")
print("right" if right() else "wrong")
"""
    p = t.call("run", "--excache", "8M", "--replicas", "1", "--", PYTHON, "-c", script, timeout=120)
    check(p.out == "right\n", p.out, p.err)
    memory_becomes_free(t)
    t.call("down")


def test_forks_share_what_was_dirty(t):
    """Lines that are in the ExCache alone at a fork become one line at the home, not one for each."""
    up(t, 2, "160M")
    script = """
import os, sys
cold = bytearray(64 << 20)
cold[::4096] = bytes([7]) * (len(cold) // 4096)
warm = bytearray(24 << 20)
warm[::4096] = bytes([9]) * (len(warm) // 4096)
hold, held = os.pipe()
children = []
for n in range(12):
    pid = os.fork()
    if pid == 0:
        os.close(held)
        right = set(cold[::4096]) == {7} and set(warm[::4096]) == {9}
        os.read(hold, 1)
        os._exit(0 if right else 1)
    children.append(pid)
os.close(held)
print("right" if not any(os.waitpid(pid, 0)[1] for pid in children) else "wrong")
"""
    p = t.call("run", "--excache", "32M", "--replicas", "1", "--", PYTHON, "-c", script, timeout=180)
    check(p.out == "right\n", p.out, p.err)
    memory_becomes_free(t)
    t.call("down")


# ---- losses ----

def survives(t, number, policy):
    up(t, 4, "256M")
    p = patterns(t, 64, "--policy", policy)
    for _ in range(2):
        victims = [name for name, size in held(t).items() if size > 1 << 20]
        for name in victims:
            await_true(lambda: two_copies(t), "two copies", 30)
            pid = lose(t, name, number)
            next_round(p)
            come_back(t, pid, number)
            next_round(p)
    end(p)
    memory_becomes_free(t)
    t.call("down")


def test_killed(t):
    survives(t, signal.SIGKILL, "lru")


def test_frozen(t):
    survives(t, signal.SIGSTOP, "fifo")


def test_ends_when_its_home_is_lost(t):
    """The node cannot have the memory freed where it was, nor knows yet who has it now."""
    up(t, 3, "128M")
    for number in [signal.SIGKILL, signal.SIGSTOP] * 4:
        p = patterns(t, 8)
        await_true(lambda: two_copies(t), "two copies", 30)
        home = await_true(lambda: [c["pid"] for c in memories(t).values() if c["processes"]], "a home")
        t.kill(home[0], number)
        p.kill()
        finish(p, 30)
        memory_becomes_free(t)
        come_back(t, home[0], number)
        memory_becomes_free(t)
    t.call("down")


def test_one_copy_is_lost_with_its_mcomponent(t):
    up(t, 2, "128M")
    p = patterns(t, 32, "--replicas", "1")
    home = max(held(t), key=held(t).get)
    lose(t, home, signal.SIGKILL)
    ask_in_vain(p)
    check(finish(p) == 137 and home in p.err and "lost" in p.err, p.returncode, repr(p.err))
    t.call("down")


def test_both_copies_lost(t):
    up(t, 3, "128M")
    p = patterns(t, 32)
    await_true(lambda: two_copies(t), "two copies", 30)
    holders = [name for name, size in held(t).items() if size > 16 << 20]
    check(len(holders) == 2, held(t))
    pids = [memories(t)[name]["pid"] for name in holders]
    for pid in pids:
        t.kill(pid, signal.SIGKILL)
    ask_in_vain(p)
    check(finish(p) == 137 and "lost" in p.err, p.returncode, repr(p.err))
    t.call("down")


def drain_and_undo(t, name):
    t.call("drain", name, timeout=60)
    t.call("drain", name, "--undo")


def churn(t, seed, policy, steps, losses):
    """The checker of its own memory, while mComponents are lost and drained at random moments."""
    chance = random.Random(seed)
    expected = subprocess.run([CHECKER, str(seed), str(steps)], capture_output=True, text=True,
                              check=True).stdout
    up(t, 4, "256M")
    done, drains, runs = 0, 0, 0
    while done < losses:
        p = t.popen("run", "--excache", "1M", "--policy", policy, "--", CHECKER, str(seed),
                    str(steps), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        runs += 1
        ended = os.pidfd_open(p.pid)
        while done < losses:
            await_true(lambda: two_copies(t), "two copies", 60)
            if select.select([ended], [], [], chance.uniform(0, 0.4))[0]:
                break
            name = chance.choice(sorted(memories(t)))
            number = chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP, signal.SIGSTOP, 0])
            if number:
                come_back(t, lose(t, name, number), number)
                done += 1
            else:
                drain_and_undo(t, name)
                drains += 1
        os.close(ended)
        check(finish(p, 300) == 0 and p.out == expected,
              f"seed {seed}, after {done} losses, {drains} drains: {p.returncode}", repr(p.out), "not",
              repr(expected), p.err)
        memory_becomes_free(t)
    t.call("down")
    print(f"  seed {seed}: {done} losses, {drains} drains, {runs} runs", flush=True)


def test_losses_in_a_row_lru(t):
    churn(t, SEED, "lru", 4000, LOSSES)


def test_losses_in_a_row_fifo(t):
    churn(t, SEED + 1, "fifo", 4000, LOSSES)


# ---- elasticity ----

def test_a_full_one_is_relieved(t):
    """Two programs that grew at one mComponent: one of them moves to where there is room."""
    up(t, 2, "140M")
    t.call("drain", "m2")
    first, second = (patterns(t, 64, "--replicas", "1", excache="1M") for _ in range(2))
    check(held(t)["m2"] == 0, held(t))
    t.call("drain", "m2", "--undo")
    await_true(lambda: min(held(t).values()) > 32 << 20, "both have some", 20)
    for p in first, second:
        next_round(p)
        end(p)
    memory_becomes_free(t)
    t.call("down")


def test_drain(t):
    up(t, 3, "256M")
    p = patterns(t, 64)
    for name in sorted(memories(t)):
        await_true(lambda: two_copies(t), "two copies", 30)
        t.call("drain", name, timeout=60)
        check(held(t)[name] == 0, held(t))
        next_round(p)
        t.call("drain", name, "--undo")
    end(p)
    memory_becomes_free(t)
    t.call("down")


if __name__ == "__main__":
    main(dict(globals()), sys.argv)
