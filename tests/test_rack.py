#!/usr/bin/python3
"""ashlar up, down, status and ps, with the real daemons, and each of them killed or frozen."""
import json
import os
import signal
import subprocess
import sys

from racks import STATUS_KEYS, await_end, await_true, check, main


def test_help_and_wrong_words(t):
    check("usage: ashlar" in t.call("--help").out)
    check(t.call("--version").out.startswith("ashlar "))
    for command in ("up", "down", "status", "ps", "drain", "run"):
        check(f"usage: ashlar {command}" in t.call(command, "--help").out)
        wrong = t.call(command, "--frobnicate", code=2)
        check("--frobnicate" in wrong.err and "--help" in wrong.err, wrong.err)
    t.call("frobnicate", code=2)
    t.call(code=2)
    for args in (["up", "--memory", "0"], ["up", "--memory", "x"], ["up", "--memory-size", "1Q"],
                 ["up", "--transport", "pigeon"], ["up", "extra"], ["up", "--rack", "a/b"],
                 ["run", "--excache", "12"], ["run", "--policy", "mru", "true"], ["run"],
                 ["up", "--memory"]):
        t.call(*args, code=2)


def test_life_of_a_rack(t):
    t.call("status", code=3)
    t.call("ps", code=3)
    t.call("down", code=3)
    out = t.call("up", "--memory", "2", "--memory-size", "64M", "--storage", "1", "--process", "1",
                 "--transport", "tcp").out
    check("ashlar run" in out and "ashlar down" in out, out)
    status = t.status()
    check(status["health"] == "ok" and status["reasons"] == [], status)
    components = status["components"]
    check(all(STATUS_KEYS <= set(c) for c in components), components)
    check(sorted(c["kind"] for c in components) ==
          ["global", "memory", "memory", "process", "storage"])
    pids = {c["pid"] for c in components}
    check(len(pids) == 5 and pids == set(t.daemons()), pids)
    for c in components:
        check(c["state"] == "up" and ":" in c["address"], c)
        check(os.getsid(c["pid"]) == c["pid"] and os.readlink(f"/proc/{c['pid']}/cwd") == "/", c)
        fds = {os.readlink(f"/proc/{c['pid']}/fd/{n}") for n in (0, 1, 2)}
        check(fds == {"/dev/null", f"{t.base()}/default/{c['id']}.log"}, fds)
        if c["kind"] == "memory":
            check(c["size_bytes"] == 64 << 20 and c["used_bytes"] == 0, c)
    check(json.loads(t.call("ps", "--json").out) == {"processes": []})
    check("default" in t.call("status").out)
    check("already" in t.call("up", code=1).err)
    check(os.stat(f"{t.base()}/default").st_mode & 0o777 == 0o700)
    check(os.stat(f"{t.base()}/default/key").st_mode & 0o777 == 0o600)
    t.call("down")
    t.nothing_left()
    t.call("status", code=3)


def test_nothing_is_inherited(t):
    with open("/etc/passwd") as held:
        os.set_inheritable(held.fileno(), True)
        t.call("up", "--memory-size", "16M", close_fds=False)
        for pid in t.daemons():
            for n in os.listdir(f"/proc/{pid}/fd"):
                try:
                    check(os.readlink(f"/proc/{pid}/fd/{n}") != "/etc/passwd", pid)
                except FileNotFoundError:
                    pass
    t.call("down")


def test_racks_side_by_side(t):
    t.call("up", "--rack", "one", "--memory-size", "16M")
    t.env["ASHLAR_RACK"] = "two"
    t.call("up", "--memory", "1", "--memory-size", "16M")
    one, two = t.components("--rack", "one"), t.components()
    check(len(one) == 5 and len(two) == 4)
    check(not {c["pid"] for c in one.values()} & {c["pid"] for c in two.values()})
    t.call("down", "--rack", "one")
    check(t.status()["health"] == "ok")
    t.call("down")


def test_each_daemon_killed(t):
    t.call("up", "--memory-size", "16M")
    for name in ("m1", "s1", "p1", "g1"):
        before = t.components()
        t.kill(before[name]["pid"])
        status = t.status(code=1)
        check(status["health"] == "degraded", status)
        check(any(r.startswith(f"{name} (") and str(before[name]["pid"]) in r
                  for r in status["reasons"]), status["reasons"])
        states = {c["id"]: c["state"] for c in status["components"]}
        check(states.pop(name) == "down" and set(states.values()) == {"up"}, states)
        t.call("up")
        t.await_healthy()
        after = t.components()
        for other in before:
            check((before[other]["pid"] == after[other]["pid"]) == (other != name), other)
            check(before[other]["address"] == after[other]["address"], other)
    t.call("down")


def test_all_killed_then_down(t):
    t.call("up", "--memory-size", "16M")
    for pid in t.daemons():
        t.kill(pid)
    check(t.status(code=1)["health"] == "degraded")
    t.call("down")
    t.nothing_left()


def test_all_killed_then_up(t):
    t.call("up", "--memory-size", "16M")
    for pid in t.daemons():
        t.kill(pid)
    t.call("up")
    t.await_healthy()
    t.call("down")


def test_a_frozen_daemon(t):
    t.call("up", "--memory-size", "16M")
    frozen = t.components()["m1"]["pid"]
    os.kill(frozen, signal.SIGSTOP)
    status = t.status(code=1)
    check(any("m1" in r and "not answering" in r for r in status["reasons"]), status["reasons"])
    t.call("down")
    await_end([frozen])


def test_the_global_daemon_away(t):
    t.call("up", "--memory-size", "16M")
    t.kill(t.components()["g1"]["pid"])
    components = t.components(code=1)
    check(components["m1"]["size_bytes"] == 16 << 20 and components["p1"]["state"] == "up")
    t.call("ps")
    t.call("down")


def test_stale_files(t):
    """As after a reboot: the recorded pid is another process's now, and must not be touched."""
    t.call("up", "--memory-size", "16M")
    for pid in t.daemons():
        t.kill(pid)
    path = f"{t.base()}/default/rack.json"
    with open(path) as f:
        rack = json.load(f)
    with subprocess.Popen(["sleep", "1000"]) as innocent:
        for daemon in rack["daemons"]:
            daemon["pid"] = innocent.pid
        with open(path, "w") as f:
            json.dump(rack, f)
        check(t.status(code=1)["health"] == "degraded")
        t.call("down")
        check(innocent.poll() is None)
        innocent.kill()


def test_a_spoilt_state_file(t):
    t.call("up", "--memory-size", "16M")
    with open(f"{t.base()}/default/rack.json", "w") as f:
        f.write("{")
    t.call("status", code=3)
    t.call("down")


def test_a_directory_that_is_not_private(t):
    os.mkdir(t.base(), 0o755)
    os.chmod(t.base(), 0o755)
    check("0700" in t.call("up", code=1).err)
    os.chmod(t.base(), 0o700)


def test_two_at_once(t):
    ups = [t.popen("up", "--memory-size", "16M", stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL) for _ in range(3)]
    check(sorted(p.wait(20) for p in ups) == [0, 1, 1])
    check(len(t.daemons()) == 5)
    downs = [t.popen("down", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
             for _ in range(3)]
    check(sorted(p.wait(20) for p in downs) == [0, 3, 3])
    for _ in range(4):
        both = [t.popen(word, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                for word in ("up", "down", "up", "down")]
        for p in both:
            check(p.wait(20) in (0, 1, 3), p.args)
    t.call("down", code=None)


def test_up_killed_half_way(t):
    for name in ("g1.log", "p1.log"):
        with t.popen("up", "--memory-size", "16M", stdout=subprocess.DEVNULL) as p:
            await_true(lambda: p.poll() is not None or
                       os.path.exists(f"{t.base()}/default/{name}"), name)
            p.kill()
        t.call("down")
        t.nothing_left()


main(dict(globals()), sys.argv)
