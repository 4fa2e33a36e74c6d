#!/usr/bin/python3
"""Deaths at every step: one mComponent of four kills itself at a point that it passes.

The points are those of docs/architecture.md, "Points of failure". Each is passed by a program of
which both copies were complete before; it is to end as natively, and nothing is to be held then.
"""
import concurrent.futures
import os
import re
import select
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from racks import Failure, Tester, alive, await_end, await_true, check, finish, holds, main  # noqa: E402

STEPS = os.path.abspath(sys.argv.pop(2))
TIMES = int(sys.argv.pop(2))  # later passings of each point, too
COUNT = 4
HOME, REPLICA, OTHER = range(3)  # where the program begins; its replica; who has neither
MEBIBYTES, SIZE = "200", "80M"  # more than one mComponent has, so the program has parts
AT_ONCE = 3  # racks
RUN_S = 60

# Who passes it first, as a rule, and how often it has when the program is ready.
GRANTS = [
    ("grant.begin", HOME, 2), ("grant.placed", HOME, 0), ("grant.noted", HOME, 0),
    ("grant.part", HOME, 0), ("grant.told", HOME, 0), ("grant.sent", HOME, 4), ("grant.done", HOME, 2),
    ("replica.vregions", REPLICA, 4), ("part.made", OTHER, 0), ("part.granted", OTHER, 0),
]
CHANGES = [
    ("ops.sent", HOME, 16), ("ops.copied", REPLICA, 16), ("ops.done", HOME, 16),
    ("write.begin", HOME, 40), ("write.sent", HOME, 40), ("write.stored", HOME, 40),
    ("write.copied", REPLICA, 40), ("write.done", HOME, 40),
]
FORKS = [
    ("clone.begin", HOME, 0), ("clone.sent", HOME, 0), ("clone.copied", REPLICA, 0),
    ("clone.done", HOME, 0),
    # of a further part
    ("clone.begin", OTHER, 0), ("clone.sent", OTHER, 0), ("clone.done", OTHER, 0),
]
ENDINGS = [
    ("reset.begin", HOME, 0), ("reset.parts", HOME, 0), ("reset.sent", HOME, 0),
    ("reset.copied", REPLICA, 0), ("reset.done", HOME, 0),
    ("destroy.begin", HOME, 0), ("destroy.parts", HOME, 0), ("destroy.sent", HOME, 0),
    ("destroy.copied", REPLICA, 0), ("destroy.done", HOME, 0),
]
# The replica's component is drained: another replica is made before that one is dropped.
COPIES = [
    ("copy.opened", HOME, 1), ("copy.lines", HOME, 0), ("copy.last", HOME, 1),
    ("copy.ready", HOME, 1), ("replica.opened", OTHER, 0), ("replica.lines", OTHER, 0),
    ("replica.last", OTHER, 0), ("replica.ready", OTHER, 0), ("drain.copied", HOME, 0),
    ("replica.yielded", REPLICA, 0), ("replica.dropped", REPLICA, 0),
]
# The home is drained: its replica takes its place.
PROMOTIONS = [
    ("promote.begin", HOME, 0), ("takeover.begin", REPLICA, 0), ("takeover.done", REPLICA, 0),
    ("promote.taken", REPLICA, 0), ("promote.done", HOME, 0),
]
# The home is killed, and another one dies while it is looked for, or replaced.
SECOND_LOSSES = [
    ("locate.asked", OTHER, 0), ("takeover.begin", REPLICA, 0), ("takeover.done", REPLICA, 0),
]


def memories(t):
    return {name: c for name, c in t.components().items() if c["kind"] == "memory"}


def two_copies(t):
    return not any(c["single"] for c in memories(t).values() if c["state"] != "down")


def await_two_copies(t):
    await_true(lambda: two_copies(t), "two copies", 10)


def nothing_held(t):
    """No bytes, and no address space, by anybody."""
    def free():
        return not any(holds(c) or c["processes"] for c in memories(t).values()
                       if c["state"] != "down")  # that says what was last heard of it
    try:
        await_true(free, "memory is free", 10)
    except Failure as error:
        held = {name: (holds(c), c["processes"]) for name, c in memories(t).items()}
        raise Failure(f"{error} (bytes, spaces) {held}") from error


def number_of(t, name):
    with open(os.path.join(t.base(), "default", name + ".log"), encoding="utf-8") as log:
        return int(re.search(r" as number (\d+)", log.read())[1])


def rack(t, role, fault):
    """A rack of which one mComponent is armed. A home is who has the least to do, which is one that
    was just started, and of these the one with the smallest number; its replica goes to the next. (One
    whose log is not known yet would come after them: there are none.)
    """
    t.call("up", "--memory", str(COUNT), "--memory-size", SIZE, "--replica-dram", "all")
    names = sorted(memories(t), key=lambda name: number_of(t, name))
    t.env["ASHLAR_FAULT"] = f"{names[role]}:{fault}"
    for name in sorted({names[HOME], names[role]}, key=lambda name: name == names[HOME]):
        t.kill(memories(t)[name]["pid"])
        t.call("up")
    del t.env["ASHLAR_FAULT"]
    return memories(t)[names[role]]["pid"]


def program(t, policy):
    p = t.popen("run", "--excache", "512K", "--policy", policy, "--", STEPS, MEBIBYTES,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = p.stdout.readline()
    check(line == "ready\n", "the program says", repr(line), p.poll(),
          "" if line else p.stderr.read())
    await_two_copies(t)
    return p


def home_and_replica(t):
    """Of the one program there is, when the home has told of it by a heartbeat."""
    def found():
        holders = {name: c["processes"] for name, c in memories(t).items() if c["used_bytes"]}
        return holders if sorted(holders.values()) == [0, 1] else None
    holders = await_true(found, "one home and one replica")
    return sorted(holders, key=holders.get, reverse=True)


def go_on(p):
    p.stdin.write("\n")
    p.stdin.close()
    p.stdin = None


def restart_when_dead(t, pid, p):
    """Starts the one that dies again, if it does before the program ends."""
    fds = [os.pidfd_open(pid), os.pidfd_open(p.pid)]
    ended = select.select(fds, [], [], RUN_S)[0]
    check(ended, f"hangs for {RUN_S} s")
    if fds[0] in ended:
        t.call("up")
    for fd in fds:
        os.close(fd)


def ends_right(t, p, expected):
    check(finish(p, RUN_S) == 0 and p.out == expected, "exit code", p.returncode, repr(p.out),
          "not", repr(expected), p.err)


def run_steps(t, p, pid, expected):
    go_on(p)
    restart_when_dead(t, pid, p)
    ends_right(t, p, expected)


def drain(role):
    def run(t, p, pid, expected):
        drained = t.popen("drain", home_and_replica(t)[role], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)
        restart_when_dead(t, pid, drained)
        finish(drained, RUN_S)
        await_two_copies(t)
        run_steps(t, p, pid, expected) if alive(pid) else (go_on(p), ends_right(t, p, expected))
    return run


def lose_home(t, p, pid, expected):
    """A second loss, before the copy is back, may take what the first one left."""
    home = memories(t)[home_and_replica(t)[HOME]]["pid"]
    t.kill(home)
    go_on(p)
    if home != pid:
        restart_when_dead(t, pid, p)
    finish(p, RUN_S)
    check((p.returncode == 0 and p.out == expected) or (p.returncode == 137 and "lost" in p.err),
          "exit code", p.returncode, repr(p.out), "not", repr(expected), p.err)


class TooEarly(Exception):
    """It passed the point as often before the program was ready, which began with one grant more."""


def dies(ashlar, scenario, role, point, count, policy, expected):
    """Whether that mComponent passed the point so often, and died; all is right in either case."""
    t = Tester(ashlar)
    try:
        pid = rack(t, role, f"{point}:{count}")
        p = program(t, policy)
        if not alive(pid):
            raise TooEarly(f"{point}:{count}")
        scenario(t, p, pid, expected)
        nothing_held(t)
        died = not alive(pid)
        t.call("up", code=None)  # if it died at the end
        t.await_healthy()
        t.call("down")
        t.nothing_left()
        return died
    except TooEarly:
        raise
    except Exception as error:
        raise Failure(f"{point}:{count}, {policy}: {error!r}\n{t.logs()}") from error
    finally:
        t.close()


def one_dies(ashlar, scenario, point, first, count, policy, expected):
    """What happened; None: none of them passes it so often."""
    roles = sorted(range(COUNT), key=lambda role: role != first)
    if scenario is lose_home:
        roles.remove(HOME)
    for tries, role in enumerate(roles):
        try:
            died = dies(ashlar, scenario, role, point, count, policy, expected)
        except TooEarly:
            died = dies(ashlar, scenario, role, point, count + 1, policy, expected)
        if died:
            return f"  {point} {count} {policy}: after {tries} in vain"
    return None


def each_point(t, scenario, points):
    expected = subprocess.run([STEPS, MEBIBYTES], input="\n", capture_output=True, text=True,
                              check=True).stdout.removeprefix("ready\n")
    failed = []
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as racks:
        jobs = {racks.submit(one_dies, t.ashlar, scenario, point, first, before + n, policy,
                             expected): (point, n)
                for policy in (["lru", "fifo"] if TIMES > 1 else ["lru"])
                for point, first, before in points for n in range(1, TIMES + 1)}
        for job, (point, n) in jobs.items():
            try:
                said = job.result()
                check(said or n > 1, "nobody passed", point)
                print(said or f"  {point}: not passed {n} times", flush=True)
            except Failure as error:
                failed.append(str(error))
    check(not failed, "\n".join(failed))


def test_grants(t):
    each_point(t, run_steps, GRANTS)


def test_changes(t):
    each_point(t, run_steps, CHANGES)


def test_forks(t):
    each_point(t, run_steps, FORKS)


def test_endings(t):
    each_point(t, run_steps, ENDINGS)


def test_copies(t):
    each_point(t, drain(REPLICA), COPIES)


def test_promotions(t):
    each_point(t, drain(HOME), PROMOTIONS)


def test_second_losses(t):
    each_point(t, lose_home, SECOND_LOSSES)


if __name__ == "__main__":
    main(dict(globals()), sys.argv)
