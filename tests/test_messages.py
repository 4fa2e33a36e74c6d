#!/usr/bin/python3
"""How many messages a start costs, from --stats: bounds, so that it cannot creep up again. And that
what is saved by believing an open's answer is never believed too long."""
import json
import os
import sys

from racks import SH, check, main, memory_is_free, up

# Of a start of /bin/true (dynamic, libc alone) on a warm rack: 24 or 25 messages today, of which
# 14 are LINE_FETCH; the random layout needs 2 or 3 VREGION_GRANT.
START_MOST = 27
FETCHES_MOST = 16
# The same as a child of a shell: with the clone or the seat, and the change of programs.
FORK_EXEC_MOST = 34
# A fork that ends at once.
FORK_MOST = 4

# A parent that learns by a pipe that its child has changed a file which it opened just before.
STALE = """
import os
name = "changed"
for i in range(50):
    with open(name, "w") as f:
        f.write("x" * i)
    r, w = os.pipe()
    fd = os.open(name, os.O_RDONLY)
    if os.fork() == 0:
        with open(name, "a") as f:
            f.write("y")
        os.write(w, b"!")
        os._exit(0)
    again = os.open(name, os.O_RDONLY)
    os.read(r, 1)
    seen = os.fstat(again).st_size, len(os.pread(again, 100, 0)), os.read(fd, 100)[-1:]
    assert seen == (i + 1, i + 1, b"y"), (i, seen)
    os.wait()
    for n in (r, w, fd, again):
        os.close(n)
"""


def messages(t, *args):
    path = os.path.join(t.work, "stats.json")
    t.call("run", "--stats", path, *args)
    with open(path) as f:
        return json.load(f)["messages"]


def of_each(t, shell, many):
    """What each further command of a shell's loop costs."""
    script = "i=0; while [ $i -lt %d ]; do " + many + "; i=$((i+1)); done"
    few = sum(messages(t, shell, "-c", script % 5).values())
    return (sum(messages(t, shell, "-c", script % 25).values()) - few) / 20


def test_a_start(t):
    up(t, "--memory", "1")
    t.call("run", "/bin/true")
    for _ in range(3):
        seen = messages(t, "/bin/true")
        check(sum(seen.values()) <= START_MOST, seen)
        check(seen["line_fetch"] <= FETCHES_MOST, seen)
    memory_is_free(t)
    t.call("down")


def test_a_child(t):
    up(t, "--memory", "1")
    t.call("run", "/bin/true")
    for shell in (SH, "/bin/bash"):  # one uses vfork, the other fork
        each = of_each(t, shell, "/bin/true")
        check(each <= FORK_EXEC_MOST, shell, each)
    each = of_each(t, "/bin/bash", "(:)")
    check(each <= FORK_MOST, each)
    memory_is_free(t)
    t.call("down")


def test_an_answer_is_not_believed_too_long(t):
    up(t, "--memory", "1")
    t.call("run", "python3", "-c", STALE)
    t.call("down")


main(dict(globals()), sys.argv)
