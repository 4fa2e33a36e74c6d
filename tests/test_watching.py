#!/usr/bin/python3
"""inotify with real programs: what others change is told, whoever they are, and of what watched
nothing stays, however it ends."""
import os
import re
import select
import signal
import subprocess
import sys
import time

from racks import PYTHON, SH, Failure, await_end, await_true, check, finish, main, up

HERE = os.path.dirname(os.path.abspath(__file__))
# Says "ready", then each event by its mask and name; by epoll, as event loops do.
WATCHER = """
import ctypes, os, select, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
for path in sys.argv[2:]:
    wd = libc.inotify_add_watch(fd, path.encode(), int(sys.argv[1], 16))
    assert wd > 0, os.strerror(ctypes.get_errno())
poll = select.epoll()
poll.register(fd, select.EPOLLIN)
print("ready", os.getpid(), flush=True)
while True:
    poll.poll()
    data = os.read(fd, 65536)
    while data:
        wd, mask, cookie, size = struct.unpack("iIII", data[:16])
        print(wd, format(mask, "x"), data[16:16 + size].rstrip(b"\\0").decode(), flush=True)
        data = data[16 + size:]
"""
MODIFY, ATTRIB, CLOSE_WRITE, MOVED_FROM, MOVED_TO, CREATE, DELETE, DELETE_SELF = (
    2, 4, 8, 0x40, 0x80, 0x100, 0x200, 0x400)
Q_OVERFLOW, IGNORED, ISDIR = 0x4000, 0x8000, 0x40000000


class Lines:
    """What a program prints, awaited line by line."""

    def __init__(self, p):
        self.p, self.text = p, b""

    def next(self, seconds=10):
        while b"\n" not in self.text:
            ready, _, _ = select.select([self.p.stdout], [], [], seconds)
            check(ready, "no further line, after", self.text)
            more = os.read(self.p.stdout.fileno(), 65536)
            if not more:
                raise Failure(f"the program ended: {self.p.wait()} {self.p.stderr.read()}")
            self.text += more
        line, _, self.text = self.text.partition(b"\n")
        return line.decode()

    def expect(self, *lines):
        for line in lines:
            said = self.next()
            check(said == line, repr(said), "instead of", repr(line))

    def until(self, line):
        while self.next() != line:
            pass


def program(t, *argv, ready="ready"):
    p = t.popen("run", "--", *argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE)
    p.lines = Lines(p)
    if ready:
        p.first = p.lines.next(20)
        check(p.first.startswith(ready), p.first)
    return p


def watcher(t, mask, *paths):
    return program(t, PYTHON, "-c", WATCHER, format(mask, "x"), *(paths or (t.work,)))


def event(wd, mask, name=""):
    return f"{wd} {mask:x} {name}"


def inotifies(pid):
    """How many inotify descriptors a daemon has."""
    found = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found += os.readlink(f"/proc/{pid}/fd/{fd}") == "anon_inode:inotify"
        except FileNotFoundError:
            pass
    return found


def state(t):
    """Of every daemon: descriptors and threads that may stay only as long as somebody watches."""
    return {c["id"]: (inotifies(c["pid"]), len(os.listdir(f"/proc/{c['pid']}/task")))
            for c in t.components().values()}


def nothing_watched(t, before):
    await_true(lambda: all(inotifies(c["pid"]) == 0 for c in t.components().values()),
               "no inotify left", 5)
    # The threads of the rack's own pooled connections may be some more.
    await_true(lambda: all(now[1] <= before[name][1] + 8 for name, now in state(t).items()),
               f"threads as before: {before}, {state(t)}", 5)


def stop(p):
    p.terminate()
    finish(p)


def test_changes_of_others(t):
    """Of the host, of another run, and of this one: by python, ctypes and epoll."""
    up(t)
    p = watcher(t, MODIFY | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE)
    with open(f"{t.work}/host", "w") as f:
        f.write("x")
    p.lines.expect(event(1, CREATE, "host"), event(1, MODIFY, "host"),
                   event(1, CLOSE_WRITE, "host"))
    t.call("run", "--", SH, "-c", "echo x > run; mv run ran; mkdir d; rm -r d ran")
    p.lines.expect(event(1, CREATE, "run"), event(1, MODIFY, "run"), event(1, CLOSE_WRITE, "run"),
                   event(1, MOVED_FROM, "run"), event(1, MOVED_TO, "ran"),
                   event(1, CREATE | ISDIR, "d"), event(1, DELETE | ISDIR, "d"),
                   event(1, DELETE, "ran"))
    # A writer that stays: its close is told when it closes, not when it ends.
    writer = program(t, PYTHON, "-c", """
import sys
f = open("kept", "w"); f.write("x"); f.close()
print("ready", flush=True)
sys.stdin.read()""")
    p.lines.expect(event(1, CREATE, "kept"), event(1, MODIFY, "kept"),
                   event(1, CLOSE_WRITE, "kept"))
    stop(writer)
    # And that of one that had it open when it started another.
    writer = program(t, PYTHON, "-c", """
import subprocess, sys
with open("redirected", "w") as f:
    subprocess.run(["/bin/echo", "x"], stdout=f)
print("ready", flush=True)
sys.stdin.read()""")
    p.lines.expect(event(1, CREATE, "redirected"), event(1, MODIFY, "redirected"),
                   event(1, CLOSE_WRITE, "redirected"))
    stop(writer)
    stop(p)
    t.call("down")


def test_tail_follows(t):
    log = f"{t.work}/log"
    with open(log, "w") as f:
        f.write("first\n")
    p = program(t, "tail", "-n", "+1", "-F", log, ready="first")
    for i in range(3):
        with open(log, "a") as f:
            f.write(f"line {i}\n")
        p.lines.expect(f"line {i}")
    os.rename(log, log + ".1")
    with open(log, "w") as f:
        f.write("rotated\n")
    p.lines.expect("rotated")
    with open(log, "a") as f:
        f.write("and on\n")
    p.lines.expect("and on")
    stop(p)


CHANGES = """
mkdir a; echo hi > a/f; mv a/f a/g; cat a/g; ln a/g h; chmod 600 h; rm -r a; mkdir -p b/c/d
touch b/c/d/x; mv b/c e; rm e/d/x; : > done
"""


def monitored(argv, work, env=None):
    """What inotifywait prints of CHANGES, which this host makes."""
    os.mkdir(work)
    os.mkdir(f"{work}/b")
    events = "modify,attrib,close_write,move,create,delete,delete_self,move_self"
    with subprocess.Popen([*argv, "inotifywait", "-m", "-e", events, "--format", "%w %e %f",
                           ".", "b"], cwd=work, env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as p:
        while b"established" not in (line := p.stderr.readline()):
            check(line, "inotifywait ended")
        subprocess.run([SH, "-c", CHANGES], cwd=work, stdout=subprocess.DEVNULL, check=True)
        lines, said = Lines(p), []
        while not said or said[-1] != "./ CLOSE_WRITE,CLOSE done":
            said.append(lines.next())
        p.send_signal(signal.SIGTERM)
        p.wait(10)
    return said


def test_inotifywait(t):
    natively = monitored([], f"{t.work}/natively")
    inside = monitored([t.ashlar, "run", "--"], f"{t.work}/inside", t.env)
    check(inside == natively, "\n".join(inside), "\ninstead of\n", "\n".join(natively))


def test_node_watches(t):
    p = program(t, "node", "-e", """
const fs = require("fs");
fs.watch(".", (what, name) => console.log(what, name));
fs.watch("/dev/shm", (what, name) => { if (name == process.argv[1]) console.log("shm", what); });
console.log("ready");
""", f"ashlar-{os.getpid()}")
    with open(f"{t.work}/f", "w") as f:
        f.write("x")
    p.lines.expect("rename f", "change f")
    shm = f"/dev/shm/ashlar-{os.getpid()}"
    open(shm, "w").close()
    p.lines.until("shm rename")
    os.unlink(shm)
    p.lines.until("shm rename")
    os.rename(f"{t.work}/f", f"{t.work}/g")
    p.lines.until("rename f")
    p.lines.expect("rename g")
    stop(p)


def test_a_killed_scomponent(t):
    """Watches are made again when it is back; what is gone is ignored; nothing is hidden."""
    up(t)
    before = state(t)
    for name in "kept", "gone":
        open(f"{t.work}/{name}", "w").close()
    p = watcher(t, CREATE | MODIFY | DELETE_SELF, t.work, f"{t.work}/kept", f"{t.work}/gone")
    t.kill(t.components()["s1"]["pid"])
    os.unlink(f"{t.work}/gone")
    open(f"{t.work}/missed", "w").close()
    t.call("up")
    t.await_healthy()
    p.lines.expect(event(-1, Q_OVERFLOW))
    p.lines.expect(event(3, IGNORED))
    await_true(lambda: inotifies(t.components()["s1"]["pid"]) == 1, "watched again")
    with open(f"{t.work}/kept", "a") as f:
        f.write("x")
    told = {p.lines.next() for _ in range(2)}
    check(told == {event(1, MODIFY, "kept"), event(2, MODIFY)}, told)
    open(f"{t.work}/new", "w").close()
    p.lines.expect(event(1, CREATE, "new"))
    stop(p)
    nothing_watched(t, before)
    t.call("down")


# For each line: what there is, without a wait, and how long that took.
ASKER = """
import ctypes, os, struct, sys, time
libc = ctypes.CDLL(None)
fd = libc.inotify_init1(os.O_NONBLOCK)
libc.inotify_add_watch(fd, b".", 0x100)
print("ready", flush=True)
while sys.stdin.readline():
    began, masks = time.monotonic(), 0
    try:
        data = os.read(fd, 65536)
        while data:
            wd, mask, cookie, size = struct.unpack("iIII", data[:16])
            masks, data = masks | mask, data[16 + size:]
    except BlockingIOError:
        pass
    print(f"{masks:x} {time.monotonic() - began:.3f}", flush=True)
"""


def test_a_frozen_scomponent(t):
    """Who asks is answered with what is known; when it goes on, that something was missed."""
    up(t)
    p = program(t, PYTHON, "-c", ASKER)

    def ask():
        p.stdin.write(b"\n")
        p.stdin.flush()
        masks, seconds = p.lines.next().split()
        check(float(seconds) < 3, f"answered after {seconds} s")
        return int(masks, 16)

    check(ask() == 0)  # and all that it runs is in its cache
    open(f"{t.work}/before", "w").close()
    check(ask() == CREATE)
    storage = t.components()["s1"]["pid"]
    os.kill(storage, signal.SIGSTOP)
    await_true(lambda: state_of(storage) == "T", "stopped")
    open(f"{t.work}/meanwhile", "w").close()
    check(ask() == 0 and ask() == 0)
    os.kill(storage, signal.SIGCONT)
    await_true(lambda: ask() & Q_OVERFLOW, "told of the gap", 10)
    open(f"{t.work}/after", "w").close()
    check(ask() == CREATE)
    stop(p)
    t.call("down")


def state_of(pid):
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rpartition(")")[2].split()[0]


def test_a_frozen_node(t):
    """The sComponent waits for nobody: files are served, and what happened is told afterwards."""
    up(t, "--process", "2")
    p = watcher(t, CREATE)
    node = next(c["pid"] for c in t.components().values()
                if c["kind"] == "process" and
                any(int(p.first.split()[1]) == int(pid) for pid in held_by(c["pid"])))
    os.kill(node, signal.SIGSTOP)
    for i in range(300):
        open(f"{t.work}/{i}", "w").close()
    other = subprocess.run([t.ashlar, "run", "--", "cat", f"{t.work}/0"], env=t.env, timeout=20,
                           stdin=subprocess.DEVNULL, check=False)
    check(other.returncode == 0)
    os.kill(node, signal.SIGCONT)
    p.lines.expect(*(event(1, CREATE, str(i)) for i in range(300)))
    stop(p)
    t.call("down")


def held_by(node):
    """The processes that a node has a pidfd of."""
    for fd in os.listdir(f"/proc/{node}/fdinfo"):
        with open(f"/proc/{node}/fdinfo/{fd}") as f:
            yield from re.findall(r"^Pid:\s+(\d+)$", f.read(), re.M)


def test_a_reader_that_does_not_read(t):
    """It is told that it missed some; nobody else waits for it."""
    up(t)
    p = t.popen("run", "--", PYTHON, "-c", UNREAD, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE)
    p.lines = Lines(p)
    p.lines.expect("ready")
    a, b = f"{t.work}/a", f"{t.work}/b"
    open(a, "w").close()
    for i in range(20000):
        os.rename(*((a, b) if i % 2 == 0 else (b, a)))
    p.stdin.write(b"\n")
    p.stdin.flush()
    count, masks = p.lines.next(30).split()
    check(16000 < int(count) <= 40000 and masks == "40c0", count, masks)
    os.rename(a, b)
    p.stdin.write(b"\n")
    p.stdin.close()
    p.lines.expect("2 c0")
    check(p.wait(10) == 0)
    t.call("down")


UNREAD = """
import ctypes, os, struct, sys
libc = ctypes.CDLL(None)
fd = libc.inotify_init1(os.O_NONBLOCK)
libc.inotify_add_watch(fd, b".", 0xc0)
print("ready", flush=True)
for _ in range(2):
    sys.stdin.readline()
    count, masks = 0, 0
    while True:
        try:
            data = os.read(fd, 65536)
        except BlockingIOError:
            break
        while data:
            wd, mask, cookie, size = struct.unpack("iIII", data[:16])
            count, masks, data = count + 1, masks | mask, data[16 + size:]
    print(count, format(masks, "x"), flush=True)
"""


def test_nothing_stays(t):
    """Of a program that ends, is killed, or whose run is killed; and of a descriptor closed."""
    up(t)
    before = state(t)
    for how in (signal.SIGTERM, signal.SIGKILL):
        p = watcher(t, CREATE, t.work, "/dev/shm")
        check(sum(s[0] for s in state(t).values()) == 2, state(t))
        os.kill(int(p.first.split()[1]), how)
        finish(p)
        nothing_watched(t, before)
    p = watcher(t, CREATE)
    program_pid = int(p.first.split()[1])
    p.kill()
    p.wait()
    await_end([program_pid])
    nothing_watched(t, before)
    p = program(t, PYTHON, "-c", """
import ctypes, os, sys, subprocess
libc = ctypes.CDLL(None)
for i in range(300):
    fd = libc.inotify_init()
    assert fd >= 0 and libc.inotify_add_watch(fd, b".", 0x100) == 1, i
    os.close(fd)
fd = libc.inotify_init()
assert libc.inotify_add_watch(fd, b".", 0x100) == 1
child = subprocess.Popen(["/bin/sh", "-c", f"read x <&{fd}"], pass_fds=[fd])
os.close(fd)
print("ready", flush=True)
sys.stdin.read()""")
    await_true(lambda: sum(s[0] for s in state(t).values()) == 1, "the child's alone is left")
    time.sleep(0.2)  # there is no event of what should not happen
    check(sum(s[0] for s in state(t).values()) == 1, "the child's stays:", state(t))
    p.terminate()
    finish(p)
    nothing_watched(t, before)
    t.call("down")


if __name__ == "__main__":
    main(globals(), sys.argv)
