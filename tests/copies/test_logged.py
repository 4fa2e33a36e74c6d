#!/usr/bin/python3
"""Second copies whose lines are in logs at sComponents: of programs for two copies of which the rack
has no DRAM, while mComponents and sComponents are killed and frozen at random moments."""
import os
import random
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from racks import await_end, await_true, check, finish, holds, main  # noqa: E402

PATTERNS = os.path.abspath(sys.argv.pop(2))
KILLS = int(sys.argv.pop(2))  # in a row
COUNT, BUDGET = 4, "4M"
LARGE, TIGHT = 160, "72M"  # 288 MiB in all: two copies take 320
SMALL, AMPLE = 64, "160M"
DOWN_S, COPIES_S, LOST_S = 5, 60, 12


def up(t, size, storage=1):
    t.call("up", "--memory", str(COUNT), "--memory-size", size, "--replica-dram", BUDGET,
           "--storage", str(storage))


def of_kind(t, kind):
    return {name: c for name, c in t.components(code=None).items() if c["kind"] == kind}


def memories(t):
    return {name: c for name, c in of_kind(t, "memory").items() if c["state"] != "down"}


def two_copies(t):
    return not any(c["single"] for c in memories(t).values())


def await_two_copies(t):
    await_true(lambda: two_copies(t), "two copies", COPIES_S)


def logged(t):
    return sum(c["logged_bytes"] for c in memories(t).values())


def logs(t):
    """What is in the sComponents' directories of logs."""
    found = []
    for directory, _, names in os.walk(t.base()):
        if ".ashlar-logs" in directory:
            found += [os.path.join(directory, name) for name in names]
    return found


def nothing_held(t):
    await_true(lambda: not any(holds(c) for c in memories(t).values()),
               "memory is free", 20)
    await_true(lambda: not logs(t), "the logs are empty", 20)


def patterns(t, mebibytes):
    p = t.popen("run", "--excache", "8M", "--", PATTERNS, str(mebibytes), stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    p.round = -1
    next_round(p)
    return p


def begin_round(p):
    if p.round >= 0:
        p.stdin.write("\n")
        p.stdin.flush()
    p.round += 1


def end_round(p):
    line = p.stdout.readline()
    check(line == f"round {p.round} right\n", "the program says", repr(line), p.poll(),
          "" if line else p.stderr.read())


def next_round(p):
    begin_round(p)
    end_round(p)


def end(p):
    p.stdin.close()
    p.stdin = None
    check(finish(p, 60) == 0, p.returncode, p.err)


def come_back(t, name, pid, number):
    if number == signal.SIGSTOP:
        os.kill(pid, signal.SIGCONT)
    else:
        await_end([pid])
        t.call("up", code=None)  # another one's return may have started it
    await_true(lambda: t.components(code=None)[name]["state"] == "up", f"{name} is up", DOWN_S)


def lose(t, kind, name, number):
    pid = of_kind(t, kind)[name]["pid"]
    t.kill(pid, number)
    if kind == "memory":
        await_true(lambda: t.components(code=None)[name]["state"] == "down", f"{name} is down", DOWN_S)
    return pid


def test_more_than_two_copies_fit(t):
    """The rack's DRAM holds it once, and what a bounded part of its replicas takes."""
    up(t, TIGHT)
    p = patterns(t, LARGE)
    await_two_copies(t)
    check(logged(t) > LARGE << 19, logged(t))
    # One that had not heard of the sComponent yet kept more for as long.
    await_true(lambda: all(c["replica_bytes"] <= 4 << 20 for c in memories(t).values()),
               "replicas within their DRAM", 10)
    for name, c in memories(t).items():
        check(c["used_bytes"] <= c["size_bytes"], name, c)
    # Programs see nothing of the logs.
    (log, *_), shell = logs(t), ["/bin/sh", "-c"]
    directory = os.path.dirname(log)
    for command in f"cat {log}", f"ls {directory}", f"cd {directory}", f"ls {directory}/..//{os.path.basename(directory)}":
        q = t.call("run", "--", *shell, command, code=None)
        check(q.returncode and "such file" in q.err or "can't cd" in q.err, command, q.out, q.err)
    victim = max(memories(t), key=lambda name: memories(t)[name]["used_bytes"])
    pid = lose(t, "memory", victim, signal.SIGKILL)
    next_round(p)
    come_back(t, victim, pid, signal.SIGKILL)
    await_two_copies(t)
    end(p)
    nothing_held(t)
    t.call("down")


def test_losses_in_a_row(t):
    chance = random.Random(4)
    up(t, AMPLE)
    p = patterns(t, SMALL)
    for i in range(KILLS):
        await_two_copies(t)
        name = chance.choice(sorted(n for n, c in memories(t).items() if c["used_bytes"] > 1 << 20))
        number = chance.choice([signal.SIGKILL, signal.SIGSTOP])
        begin_round(p)
        pid = lose(t, "memory", name, number)
        if chance.random() < 0.5:
            end_round(p)
            come_back(t, name, pid, number)
        else:
            come_back(t, name, pid, number)
            end_round(p)
    await_two_copies(t)
    end(p)
    nothing_held(t)
    t.call("down")


def test_scomponents_that_come_back(t):
    """Killed and started again, and frozen for a while, while lines are read back from it."""
    up(t, AMPLE)
    p = patterns(t, SMALL)
    for number in signal.SIGKILL, signal.SIGSTOP:
        await_two_copies(t)
        name = max(memories(t), key=lambda name: memories(t)[name]["used_bytes"])
        begin_round(p)
        storage = lose(t, "storage", "s1", number)
        pid = lose(t, "memory", name, signal.SIGKILL)
        come_back(t, "s1", storage, number)
        end_round(p)
        come_back(t, name, pid, signal.SIGKILL)
    await_two_copies(t)
    end(p)
    nothing_held(t)
    t.call("down")


def test_an_scomponent_that_does_not(t):
    """What it had is copied anew, to the other one."""
    up(t, AMPLE, storage=2)
    p = patterns(t, SMALL)
    await_two_copies(t)
    await_true(lambda: logs(t), "logs")
    users = {os.path.basename(os.path.dirname(log))[len(".ashlar-logs-"):] for log in logs(t)}
    name = sorted(users)[0]
    before = logged(t)
    storage = lose(t, "storage", name, signal.SIGKILL)
    await_true(lambda: dropped(t), "replicas are dropped", LOST_S)
    await_two_copies(t)
    await_true(lambda: logged(t) > before // 2, "lines are in the other log", 20)
    victim = max(memories(t), key=lambda name: memories(t)[name]["used_bytes"])
    begin_round(p)
    pid = lose(t, "memory", victim, signal.SIGKILL)
    end_round(p)
    come_back(t, name, storage, signal.SIGKILL)
    come_back(t, victim, pid, signal.SIGKILL)
    await_two_copies(t)
    end(p)
    nothing_held(t)
    t.call("down")


def dies_at(t, point, count):
    """The mComponent with the replica passes a point of the log's so often, and dies there."""
    t.env["ASHLAR_FAULT"] = f"m2:{point}:{count}"
    t.call("up", "--memory", "2", "--memory-size", AMPLE, "--replica-dram", "1M")
    del t.env["ASHLAR_FAULT"]
    pid = memories(t)["m2"]["pid"]
    t.call("drain", "m2")  # so that the program's home is m1
    p = patterns(t, 24)
    t.call("drain", "m2", "--undo")
    await_end([pid], COPIES_S)
    next_round(p)
    t.call("up")
    await_two_copies(t)
    next_round(p)
    end(p)
    nothing_held(t)
    t.call("down")


def test_deaths_at_each_step(t):
    for point in "log.write", "log.written":
        dies_at(t, point, 3)


def test_a_directory_for_logs(t):
    """They are where they are to be, and nothing is left there, however the rack ended."""
    place = os.path.join(t.work, "logs")
    t.call("up", "--log-dir", place, code=2)
    os.mkdir(place)

    def kept():
        return [os.path.join(d, name) for d, _, names in os.walk(place) for name in names]

    def is_kept():  # what is stored before the mComponents know the sComponent is not
        next_round(p)
        return sum(map(os.path.getsize, kept())) > 8 << 20
    for killed in False, True:
        t.call("up", "--memory", "2", "--memory-size", AMPLE, "--replica-dram", "1M", "--log-dir",
               os.path.relpath(place), "--rack", "logging")
        p = t.popen("run", "--rack", "logging", "--excache", "8M", "--", PATTERNS, "24",
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        p.round = -1
        await_true(is_kept, "lines are in the log", COPIES_S)
        check(not logs(t), logs(t))
        if killed:
            for pid in t.daemons():
                os.kill(pid, signal.SIGKILL)
            p.communicate()
        else:
            end(p)
        t.call("down", "--rack", "logging")
        check(os.listdir(place) == [], os.listdir(place))


def dropped(t):
    """Whether some mComponent has said that it dropped a replica."""
    for name in memories(t):
        with open(os.path.join(t.base(), "default", name + ".log"), encoding="utf-8") as log:
            if "in a log that is lost" in log.read():
                return True
    return False


if __name__ == "__main__":
    main(dict(globals()), sys.argv)
