#!/usr/bin/python3
"""However a run ends, nothing of it stays: processes, descriptors, files, memory.

Each way of ending is tried on a program that has written lines back to its mComponent, has forked,
and has a thread. What a run costs the daemons (their descriptors and threads) is compared with what
they had before it.
"""
import json
import os
import signal
import subprocess
import sys

from racks import (SH, Terminal, alive, await_end, await_true, check, finish, holds, main, up)
from resident import descendants

HERE = os.path.dirname(os.path.abspath(__file__))
HOLDER = ["/usr/bin/python3", f"{HERE}/holder.py", "24"]
OPTIONS = ["run", "--excache", "8M", "--replicas", "1", "--"]
# What a daemon may keep from one run for the next, however many there are: the connections between
# components are pooled, and the node keeps four spare ones to each of three components.
POOLED_DESCRIPTORS, POOLED_THREADS = 8 + 3 * 4, 4 + 4
PLACES = ("/tmp", "/dev/shm", "/var/tmp", "/run/shm")


def files():
    """What could be ours in the places for temporary files; not other tests' directories."""
    found = set()
    for place in PLACES:
        for entry in os.scandir(place) if os.path.isdir(place) else ():
            try:
                own = entry.stat(follow_symlinks=False).st_uid == os.geteuid()
            except FileNotFoundError:
                continue
            if own and "ashlar" in entry.name and not entry.name.startswith("ashlar-test-"):
                found.add(entry.path)
    return found


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd")) if alive(pid) else None


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task")) if alive(pid) else None


class Before:
    """The state of a rack without programs, to be found again after each."""

    def __init__(self, t):
        self.files = files()
        self.rack_files = set(os.listdir(f"{t.base()}/default"))
        self.costs = {c["id"]: (descriptors(c["pid"]), threads(c["pid"]), c["pid"])
                      for c in t.components().values()}

    def again(self, t, pids, seconds=5):
        """Waits until it is so."""
        await_end(pids, seconds)
        await_true(lambda: not any(holds(c) for c in t.components().values()
                                   if c["kind"] in ("memory", "process")), "nothing held", seconds)
        check(json.loads(t.call("ps", "--json").out) == {"processes": []})
        left = files() - self.files
        check(not left, "files are left:", left)
        left = set(os.listdir(f"{t.base()}/default")) - self.rack_files
        check(not left, "files are left in the rack's directory:", left)
        for name, (fds, count, pid) in self.costs.items():
            if alive(pid):
                await_true(lambda: descriptors(pid) <= fds + POOLED_DESCRIPTORS and
                           threads(pid) <= count + POOLED_THREADS,
                           f"{name} as before: {descriptors(pid)} descriptors and {threads(pid)} "
                           f"threads, not {fds} and {count}", seconds)


def rack(t):
    up(t)
    return Before(t)


def hold(t, *options):
    p = t.popen(*OPTIONS, *HOLDER, *options, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True)
    words = p.stdout.readline().split()
    check(words[:1] == ["ready"], "the program did not come up:", words, p.poll(),
          p.stderr.read() if p.poll() is not None else "")
    p.program, p.child = int(words[1]), int(words[2])
    p.pids = descendants(p.pid)
    check(p.program in p.pids and p.child in p.pids, p.pids, words)
    held = sum(holds(c) for c in t.components().values() if c["kind"] == "memory")
    check(held > 12 << 20, "its memory is not on the mComponents:", held)
    return p


def test_a_normal_end(t):
    before = rack(t)
    for _ in range(3):
        t.call(*OPTIONS, "/usr/bin/python3", "-c", "x = bytearray(b'x') * (24 << 20); print(len(x))")
        before.again(t, [])
    t.call(*OPTIONS, SH, "-c", "exit 3", code=3)
    before.again(t, [])
    for _ in range(20):
        t.call("run", SH, "-c", "/bin/true | /bin/true")
    before.again(t, [])
    t.call("down")


def test_ctrl_c(t):
    before = rack(t)
    terminal = Terminal(t, [t.ashlar, *OPTIONS, *HOLDER])
    terminal.await_output(b"\r\n", 30)
    check(terminal.seen.startswith(b"ready"), terminal.seen)
    pids = [int(word) for word in terminal.seen.split()[1:]]
    check(all(map(alive, pids)), pids)
    terminal.type(b"\x03")
    said = terminal.said()
    check(said in ("ended 130 True", "ended -2 True"), said, terminal.seen)
    terminal.close()
    before.again(t, pids)
    t.call("down")


def test_killed_programs(t):
    before = rack(t)
    p = hold(t)
    os.kill(p.program, signal.SIGKILL)
    check(finish(p) == 137, p.returncode, p.err)
    before.again(t, p.pids)
    p = hold(t)
    os.kill(p.child, signal.SIGKILL)  # the other goes on, until its turn
    await_end([p.child])
    check(p.poll() is None and alive(p.program), p.returncode)
    os.kill(p.program, signal.SIGTERM)
    check(finish(p) == 143, p.returncode, p.err)
    before.again(t, p.pids)
    p = hold(t, "busy")
    os.kill(p.program, signal.SIGKILL)
    check(finish(p) == 137, p.returncode, p.err)
    before.again(t, p.pids)
    t.call("down")


def test_a_killed_command(t):
    before = rack(t)
    for extra in ((), ("busy",)):
        p = hold(t, *extra)
        p.kill()
        p.wait()
        before.again(t, p.pids)
    t.call("down")


def test_killed_daemons(t):
    before = rack(t)
    for name in ("m1", "m2", "p1", "s1", "g1"):
        p = hold(t)
        home = [q["home"] for q in json.loads(t.call("ps", "--json").out)["processes"]]
        t.kill(t.components()[name]["pid"])
        if name == "p1" or name in home:
            check(finish(p) == 137, name, p.returncode, p.err)
        else:
            check(p.poll() is None, f"{name} killed: the program ended with {p.returncode}")
            p.terminate()
            check(finish(p) == 143, name, p.returncode, p.err)
        t.call("up")
        t.await_healthy()
        before.again(t, p.pids, 8)
        check(t.call("run", "/bin/echo", "next").out == "next\n")
        before = Before(t)
    t.call("down")


def test_down_under_programs(t):
    rack(t)
    p = hold(t, "busy")
    t.call("down")
    check(finish(p) == 137, p.returncode, p.err)
    await_end(p.pids)
    t.nothing_left()


if __name__ == "__main__":
    main(dict(globals()), sys.argv)
