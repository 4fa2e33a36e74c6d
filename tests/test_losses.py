#!/usr/bin/python3
"""What programs with one copy of their memory see when a component dies or freezes under them, and when
it is back. tests/copies is about two copies."""
import json
import os
import signal
import subprocess
import sys
import time

from racks import await_end, await_true, check, finish, main, up

HERE = os.path.dirname(os.path.abspath(__file__))
MEMORY_LOST_S = 2.0  # a killed mComponent ends its programs within this
LATE_S = 3.3  # for one that may be late only
STORAGE_TIMEOUT_MS = 5000  # proto/limits.h


def start(t, script, *args, excache="8M"):
    p = t.popen("run", "--excache", excache, "--replicas", "1", "--", "/usr/bin/python3", f"{HERE}/{script}", *args,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = p.stdout.readline()
    check(line.startswith("ready"), "the program did not come up:", repr(line), p.poll(),
          p.stderr.read() if line == "" else "")
    p.words = line.split()
    return p


def homes(t):
    return {q["pid"]: q["home"] for q in json.loads(t.call("ps", "--json").out)["processes"]}


def begin(p, what):
    p.stdin.write(what + "\n")
    p.stdin.flush()


def ask(p, what):
    """Has reader.py do one thing; (result, its milliseconds)."""
    begin(p, what)
    return answer(p)


def answer(p):
    words = p.stdout.readline().split()
    check(len(words) == 2, "the program did not answer:", words, p.poll())
    return words[0], int(words[1])


# ---- mComponents ----

def ended_by_loss(t, number, *extra):
    """Kills or freezes the home of one of two programs: it ends and says why, the other goes on."""
    up(t, "--memory", "2")
    victim = start(t, "holder.py", "24", *extra)
    home = homes(t)[int(victim.words[1])]
    pids = [int(word) for word in victim.words[1:]]
    other = start(t, "counter.py", "24")
    check(homes(t)[max(p for p in homes(t) if p not in pids)] != home,
          "both programs are at home at one mComponent:", homes(t))
    component = t.components()[home]
    began = time.monotonic()
    t.kill(component["pid"], number)
    code = finish(victim)
    took = time.monotonic() - began
    check(code == 137, "exit code", code, victim.err)
    check(took <= MEMORY_LOST_S + (LATE_S if number == signal.SIGSTOP else 0),
          f"the program ended {took:.2f} s after the loss of its memory")
    check(f"{home} (memory, pid {component['pid']})" in victim.err and "lost" in victim.err,
          "no clear message:", repr(victim.err))
    await_end(pids, 1)
    print(f"  {took:.2f} s: {victim.err.strip()}", flush=True)
    check(other.poll() is None, "the other program ended too:", other.returncode)
    out, err = other.communicate("stop\n", timeout=30)
    check((out, err) == ("right\n", ""), out, err)
    if number == signal.SIGSTOP:
        os.kill(component["pid"], signal.SIGKILL)
        await_end([component["pid"]])
    t.call("up")
    t.await_healthy()
    check(t.call("run", "/bin/echo", "again").out == "again\n")
    t.call("down")


def test_a_killed_mcomponent(t):
    ended_by_loss(t, signal.SIGKILL)


def test_a_killed_mcomponent_of_a_busy_program(t):
    ended_by_loss(t, signal.SIGKILL, "busy")


def test_a_frozen_mcomponent(t):
    ended_by_loss(t, signal.SIGSTOP)


def test_a_frozen_mcomponent_of_a_busy_program(t):
    ended_by_loss(t, signal.SIGSTOP, "busy")


# ---- sComponents ----

def reader(t):
    with open(f"{t.work}/file", "w") as f:
        f.write("hello, a file\n")
    return start(t, "reader.py", f"{t.work}/file", excache="64M")


def fails_after_the_deadline(p, what):
    """What it was asked, by begin()."""
    result, ms = answer(p)
    check(result == "EIO", f"{what}: {result}, not EIO, after {ms} ms")
    check(STORAGE_TIMEOUT_MS * 0.9 <= ms <= STORAGE_TIMEOUT_MS * 1.5, f"{what}: EIO after {ms} ms")


def state(pid):
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rpartition(")")[2].split()[0]


def works(p):
    for what, wanted in (("read", "hello"), ("stat", "14"), ("open", "opened")):
        result, ms = ask(p, what)
        check(result == wanted, f"{what}: {result} after {ms} ms, not {wanted}")


def ends_well(p, *messages):
    """The program ends as if nothing had been; Ashlar has said why calls failed, or nothing."""
    out, err = p.communicate(timeout=30)
    check((p.returncode, out) == (0, ""), p.returncode, out, err)
    for line in err.splitlines():
        check(any(line.startswith(f"ashlar: {m} ") for m in messages), "stderr:", err)


def test_a_killed_scomponent(t):
    up(t)
    programs = {what: reader(t) for what in ("read", "stat", "open")}
    for p in programs.values():
        works(p)
    t.kill(t.components()["s1"]["pid"])
    for what, p in programs.items():
        begin(p, what)
    for what, p in programs.items():
        fails_after_the_deadline(p, what)
    t.call("up")
    t.await_healthy()
    for p in programs.values():
        works(p)
        ends_well(p, "s1")
    t.call("down")


def test_a_restarted_scomponent(t):
    """Back within the deadline: a call that was waiting goes on, and nobody sees an error."""
    up(t)
    p = reader(t)
    works(p)
    t.kill(t.components()["s1"]["pid"])
    begin(p, "read")
    t.call("up")
    result, ms = answer(p)
    check(result == "hello", f"the waiting call: {result} after {ms} ms")
    print(f"  the waiting call went on after {ms} ms", flush=True)
    works(p)
    ends_well(p, "s1")
    t.call("down")


def test_a_frozen_scomponent(t):
    up(t)
    p = reader(t)
    works(p)
    frozen = t.components()["s1"]["pid"]
    os.kill(frozen, signal.SIGSTOP)
    await_true(lambda: all(state(thread) == "T" for thread in os.listdir(f"/proc/{frozen}/task")),
               "frozen")
    begin(p, "stat")
    fails_after_the_deadline(p, "stat")
    os.kill(frozen, signal.SIGCONT)
    await_true(lambda: t.call("status", code=None).returncode == 0, "healthy", 10)
    works(p)
    ends_well(p)
    t.call("down")


# ---- the global managers ----

def unnoticed(t, number):
    up(t)
    p = start(t, "counter.py", "24")
    global_pid = t.components()["g1"]["pid"]
    t.kill(global_pid, number)
    # It goes on well past every lease.
    until = time.monotonic() + 3
    while (left := until - time.monotonic()) > 0:
        try:
            p.wait(left)
            break
        except subprocess.TimeoutExpired:
            pass
    out, err = p.communicate("stop\n", timeout=30)
    check((p.returncode, out, err) == (0, "right\n", ""), p.returncode, out, err)
    if number == signal.SIGSTOP:
        os.kill(global_pid, signal.SIGCONT)
    else:
        t.call("up")
    t.await_healthy()
    check(t.call("run", "/bin/echo", "again").out == "again\n")
    t.call("down")


def test_a_killed_global_daemon(t):
    unnoticed(t, signal.SIGKILL)


def test_a_frozen_global_daemon(t):
    unnoticed(t, signal.SIGSTOP)


if __name__ == "__main__":
    main(dict(globals()), sys.argv)
