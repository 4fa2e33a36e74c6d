#!/usr/bin/python3
"""How many messages a start costs, from --stats: bounds, so that it cannot creep up again. And that
what is saved by believing an open's answer is never believed too long."""
import json
import os
import shutil
import sys

from racks import SH, check, main, memory_is_free, up

# Of a start of /bin/true (dynamic, libc alone) on a warm rack that has its trail: 12 messages
# today, of which 3 are LINE_FETCH; where the random layout needs more vRegions there is one more.
START_MOST = 14
FETCHES_MOST = 4
# The same as a child of a shell: with the clone or the seat, and the change of programs.
FORK_EXEC_MOST = 17
# A fork that ends at once: three, and what the child touches of files that its parent did not: three
# times 32 lines today, sometimes more, beside a trail that has nothing but what the start touched.
FORK_MOST = 7
# What a start's second copy costs, in messages between the mComponents: 9 today. Two make the replica,
# one ends it, one for each grant of vRegions and each list of changes.
COPY_MOST = 12

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
    # Addresses are random: where a library crosses a vRegion's border it takes more.
    starts = [messages(t, "/bin/true") for _ in range(5)]
    check(sorted(sum(seen.values()) for seen in starts)[2] <= START_MOST, starts)
    check(sorted(seen["line_fetch"] for seen in starts)[2] <= FETCHES_MOST, starts)
    memory_is_free(t)
    t.call("down")


def line_fetches(t, program):
    """Of its first start, and of the best of three more: their addresses are random."""
    first, *others = (messages(t, program)["line_fetch"] for _ in range(4))
    return first, min(others)


def test_a_trail(t):
    up(t, "--memory", "1")
    program = os.path.join(t.work, "program")
    shutil.copy("/bin/true", program)
    first, second = line_fetches(t, program)
    check(first > 10 * second, first, second)
    with open(program, "ab") as f: # another version is another program
        f.write(b"!")
    first, second = line_fetches(t, program)
    check(first > 10 * second, first, second)
    # No room to fetch ahead: no trail.
    first, second = (messages(t, "--excache", "1M", program)["line_fetch"] for _ in range(2))
    check(first < 60, first)
    memory_is_free(t)
    t.call("down")


def test_a_trail_that_does_not_fit_any_more(t):
    """Another file takes the place of a library: the trail is left anew before long."""
    up(t, "--memory", "1")
    program, library = os.path.join(t.work, "program"), os.path.join(t.work, "libc.so.6")
    shutil.copy("/bin/true", program)
    shutil.copy("/lib/x86_64-linux-gnu/libc.so.6", library)

    def starts(count):
        argv = "/usr/bin/env", "LD_LIBRARY_PATH=" + t.work, program
        return [messages(t, *argv)["line_fetch"] for _ in range(count)]
    best = min(starts(4))
    shutil.copy(library, library + ".new")
    os.rename(library + ".new", library)
    seen = starts(24)
    check(max(seen) > best + 80 and min(seen[-3:]) <= best + 1, best, seen)
    t.call("down")


def test_a_child(t):
    up(t, "--memory", "1")
    for shell in (SH, "/bin/bash"):  # one uses vfork, the other fork
        t.call("run", shell, "-c", "/bin/true; :")  # both leave their trails
        each = of_each(t, shell, "/bin/true")
        check(each <= FORK_EXEC_MOST, shell, each)
    each = of_each(t, "/bin/bash", "(:)")
    check(each <= FORK_MOST, each)
    memory_is_free(t)
    t.call("down")


def served(t, replicas, starts):
    """Requests that the mComponents serve for so many starts."""
    def requests():
        return sum(c["requests"] for c in t.components().values() if c["kind"] == "memory")
    before = requests()
    for _ in range(starts):
        t.call("run", "--replicas", replicas, "/bin/true")
    return requests() - before


def test_a_second_copy(t):
    up(t, "--memory", "2")
    t.call("run", "/bin/true")
    one, two = served(t, "1", 10), served(t, "2", 10)
    check(10 < two - one <= 10 * COPY_MOST, one, two)
    memory_is_free(t)
    t.call("down")


def test_an_answer_is_not_believed_too_long(t):
    up(t, "--memory", "1")
    t.call("run", "python3", "-c", STALE)
    t.call("down")


main(dict(globals()), sys.argv)
