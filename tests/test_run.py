#!/usr/bin/python3
"""ashlar run: what its caller sees, and that nothing is left, whatever is killed."""
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import time

from racks import (NOBODY, SH, Terminal, alive, await_end, await_true, check, children, cmdline, finish,
                   holds, main, memory_is_free, start, up)

STATS_KEYS = {"misses", "p_local_fills", "lines_fetched", "lines_written_back", "evictions",
              "rescued", "miss_ns_p50", "miss_ns_p99", "excache_bytes", "peak_resident_bytes",
              "messages", "syscalls"}


def run(t, *args, **options):
    return t.call("run", *args, **options)


# ---- what a caller sees ----

def test_exit_codes(t):
    up(t)
    run(t, "/bin/true")
    run(t, "--", "/bin/false", code=1)
    run(t, SH, "-c", "exit 77", code=77)
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGSEGV, signal.SIGPIPE):
        out = run(t, SH, "-c", f"kill -{int(number)} $$", code=128 + number)
        check(out.err == "", out.err)
    missing = run(t, "no-such-program", code=127)
    check(missing.err == "ashlar: no-such-program: command not found\n", missing.err)
    run(t, "./no-such-program", code=127)
    plain = os.path.join(t.work, "plain")
    with open(plain, "w") as f:
        f.write("text")
    run(t, "./plain", code=126)
    run(t, t.work, code=126)
    run(t, "--rack", "nowhere", "true", code=125)
    memory_is_free(t)
    t.call("down")


def test_streams_and_surroundings(t):
    up(t)
    check(run(t, "cat", stdin=subprocess.DEVNULL).out == "")
    p = t.popen("run", "cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    check(p.communicate("to and fro\n")[0] == "to and fro\n")
    seen = run(t, SH, "-c", "pwd; umask; echo $HELLO; echo oops >&2", umask=0o027,
               env={**t.env, "HELLO": "a b"})
    check(seen.out == f"{t.work}\n0027\na b\n", repr(seen.out))
    check(seen.err == "oops\n", repr(seen.err))
    with open(os.path.join(t.work, "held"), "w+") as held:
        held.write("held\n")
        held.flush()
        held.seek(0)
        check(run(t, SH, "-c", f"cat <&{held.fileno()}", pass_fds=[held.fileno()]).out == "held\n")
    check(run(t, "--", "echo", "--json", "--", "x").out == "--json -- x\n")
    check(run(t, "env", env={**t.env, "ONLY": "1"}).out.count("ASHLAR_BOOT") == 0)
    t.call("down")


def test_path_lookup(t):
    up(t)
    tool = os.path.join(t.work, "bin", "tool")
    os.mkdir(os.path.dirname(tool))
    with open(tool, "w") as f:
        f.write("#!/bin/sh\necho tool $1\n")
    os.chmod(tool, 0o755)
    check(run(t, "tool", "x", env={**t.env, "PATH": "/nowhere:bin:/usr/bin:/bin"}).out == "tool x\n")
    check(run(t, "bin/tool", "y").out == "tool y\n")
    os.chmod(tool, 0o644)
    denied = run(t, "tool", env={**t.env, "PATH": "bin:/usr/bin"}, code=126)
    check("ermission denied" in denied.err, denied.err)
    t.call("down")


def test_an_infinite_stack(t):
    up(t)
    infinite = resource.getrlimit(resource.RLIMIT_STACK)[1] == resource.RLIM_INFINITY
    if infinite:
        limit = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        run(t, "/bin/true", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_STACK, limit))
    run(t, "/bin/true", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)))
    t.call("down")


def test_stats(t):
    up(t)
    path = os.path.join(t.work, "stats.json")
    run(t, "--stats", path, "--excache", "16M", "--policy", "fifo", SH, "-c", "exit 3", code=3)
    with open(path) as f:
        stats = json.load(f)
    check(STATS_KEYS <= set(stats), stats)
    check(stats["excache_bytes"] == 16 << 20 and stats["peak_resident_bytes"] > 0, stats)
    check(stats["exit_code"] == 3 and stats["policy"] == "fifo", stats)
    run(t, "--stats", path, SH, "-c", "kill -9 $$", code=137)
    with open(path) as f:
        check(json.load(f)["exit_code"] == 137)
    check(STATS_KEYS <= set(json.loads(run(t, "--stats", "-", "/bin/true").err)))
    run(t, "--stats", "/nowhere/stats", "/bin/true", code=125)
    t.call("down")


def test_signals_sent_to_the_command(t):
    up(t)
    for name in ("TERM", "HUP", "USR1", "USR2", "INT", "QUIT"):
        p = start(t, f"trap 'echo got; exit 9' {name}; while :; do sleep 0.1; done")
        # The trap is set by the time the shell waits for its first child.
        await_true(lambda: children(p.program), "waiting")
        p.send_signal(getattr(signal, "SIG" + name))
        check(finish(p) == 9 and p.out == "got\n", name, p.returncode, p.out, p.err)
    p = start(t, "exec sleep 1000")
    p.terminate()
    check(finish(p) == 143 and p.err == "", p.err)
    memory_is_free(t)
    t.call("down")


def test_ctrl_c(t):
    up(t)
    terminal = Terminal(t, [t.ashlar, "run", "--", SH, "-c", "echo ready; exec sleep 1000"])
    terminal.await_output(b"ready")
    terminal.type(b"\x03")
    check(terminal.said() == "ended 130 True")
    terminal.close()
    # Handled by the program: it goes on.
    script = "trap 'echo caught' INT; echo ready; read x; echo after $x"
    terminal = Terminal(t, [t.ashlar, "run", "--", SH, "-c", script])
    terminal.await_output(b"ready")
    terminal.type(b"\x03")
    terminal.await_output(b"caught")
    terminal.type(b"word\n")
    terminal.await_output(b"after")
    check(terminal.said().startswith("ended 0"), terminal.seen)
    terminal.close()
    memory_is_free(t)
    t.call("down")


def test_ctrl_z(t):
    up(t)
    terminal = Terminal(t, [t.ashlar, "run", "--", SH, "-c", "echo ready; read x; exit $x"])
    terminal.await_output(b"ready")
    for _ in range(100):
        terminal.type(b"\x1a")
        check(terminal.said() == f"stopped {int(signal.SIGTSTP)}")
        terminal.go_on()
    terminal.type(b"21\n")
    check(terminal.said() == "ended 21 True")
    terminal.close()
    t.call("down")


def test_a_terminal_is_a_terminal(t):
    up(t)
    terminal = Terminal(t, [t.ashlar, "run", "--", SH, "-c", "test -t 0 && test -t 1; exit $?"])
    check(terminal.said() == "ended 0 True")
    terminal.close()
    t.call("down")


def test_the_excache_is_shared_out(t):
    up(t, "--excache-total", "40M")
    p = start(t, "read x; exit $x", "--excache", "24M", stdin=subprocess.PIPE)
    check(t.components()["p1"]["used_bytes"] == 24 << 20)
    stats = os.path.join(t.work, "stats.json")
    q = start(t, "read x; exit $x", "--stats", stats, stdin=subprocess.PIPE)
    none = run(t, "/bin/true", code=125)
    check("no ExCache left" in none.err, none.err)
    q.stdin.write("7\n")
    check(finish(q) == 7, q.err)
    with open(stats) as f:
        check(json.load(f)["excache_bytes"] == 16 << 20, "it got what was left")
    run(t, "/bin/true")
    p.stdin.write("5\n")
    check(finish(p) == 5, p.err)
    check(t.components()["p1"]["used_bytes"] == 0)
    t.call("down")


# ---- what is killed ----

def test_leftover_processes_end(t):
    up(t)
    out = run(t, SH, "-c", "sleep 1000 >/dev/null 2>&1 & echo $!; setsid sleep 1000 >/dev/null 2>&1 & "
              "echo $!; exit 4", code=4).out
    for pid in out.split():
        check(not alive(int(pid)), pid)
    memory_is_free(t)
    check(json.loads(t.call("ps", "--json").out) == {"processes": []})
    t.call("down")


def test_ps_shows_them(t):
    up(t)
    p = start(t, "sleep 1000; true")
    processes = await_true(lambda: (found := json.loads(t.call("ps", "--json").out)["processes"])
                           if len(found := json.loads(t.call("ps", "--json").out)["processes"]) == 2
                           else None, "two processes")
    check(p.program in [q["pid"] for q in processes], processes)
    check(all(q["home"] in ("m1", "m2") and q["component"] == "p1" for q in processes), processes)
    used = sum(c["used_bytes"] for c in t.components().values() if c["kind"] == "process")
    check(used > 0, used)
    p.kill()
    p.wait()
    await_end([p.program], 2)
    t.call("down")


def test_the_program_killed(t):
    up(t)
    p = start(t, "sleep 1000; true")
    os.kill(p.program, signal.SIGKILL)
    check(finish(p) == 137, p.err)
    memory_is_free(t)
    t.call("down")


def test_the_command_killed(t):
    up(t)
    p = start(t, "sleep 1000; true")
    await_true(lambda: children(p.program), "its child")
    pids = [p.program, *children(p.program)]
    p.kill()
    p.wait()
    await_end(pids, 2)
    await_true(lambda: not any(holds(c) for c in t.components().values()
                               if c["kind"] == "memory"), "memory free")
    check(json.loads(t.call("ps", "--json").out) == {"processes": []})
    t.call("down")


def test_memory_killed(t):
    up(t, "--memory", "1")
    p = start(t, "sleep 1000; true")
    pid = t.components()["m1"]["pid"]
    began = time.monotonic()
    t.kill(pid)
    check(finish(p, 5) == 137, p.returncode, p.err)
    check(time.monotonic() - began < 2, time.monotonic() - began)
    check(f"m1 (memory, pid {pid}) was lost" in p.err, p.err)
    none = run(t, "/bin/true", code=125)
    check(none.err.startswith("ashlar: "), none.err)
    t.call("up")
    t.await_healthy()
    run(t, "/bin/true")
    t.call("down")


def test_memory_frozen(t):
    up(t, "--memory", "1")
    p = start(t, "sleep 1000; true")
    pid = t.components()["m1"]["pid"]
    began = time.monotonic()
    t.kill(pid, signal.SIGSTOP)
    check(finish(p, 10) == 137, p.returncode, p.err)
    check(time.monotonic() - began < 6, time.monotonic() - began)  # its host may be late only: 3 s
    t.call("down")


def test_global_killed(t):
    up(t)
    p = start(t, "read x; exit $x", stdin=subprocess.PIPE)
    t.kill(t.components()["g1"]["pid"])
    refused = run(t, "/bin/true", code=125)
    check("global" in refused.err, refused.err)
    p.stdin.write("6\n")
    check(finish(p) == 6, p.err)
    t.call("up")
    t.await_healthy()
    run(t, "/bin/true")
    memory_is_free(t)
    t.call("down")


def test_node_killed(t):
    up(t)
    p = start(t, "sleep 1000; true")
    await_true(lambda: children(p.program), "its child")
    pids = [p.program, *children(p.program)]
    t.kill(t.components()["p1"]["pid"])
    check(finish(p) == 137 and "p1 (process" in p.err, p.returncode, p.err)
    await_end(pids, 1)
    # Nobody was left to free the spaces: the mComponent does, after their grace.
    await_true(lambda: not any(holds(c) for c in t.components(code=1).values()
                               if c["kind"] == "memory"), "memory free", 6)
    t.call("down")


def test_another_user(t):
    """Where root runs the rack a program may become somebody else, who starts others and ends as any."""
    if os.geteuid() != 0:
        return
    become = f"exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups {SH} -c "
    up(t)
    out = run(t, SH, "-c", become + "'id -u; echo piped | cat; id -g'")
    check(out.out == f"{NOBODY}\npiped\n{NOBODY}\n", out.out, out.err)
    p = start(t, become + "'sleep 1000; true'")
    await_true(lambda: children(p.program), "its child")
    pids = [p.program, *children(p.program)]
    t.kill(t.components()["p1"]["pid"])
    check(finish(p) == 137, p.returncode, p.err)
    await_end(pids, 1)
    t.call("down")


def test_down_ends_programs(t):
    up(t)
    p = start(t, "sleep 1000; true")
    await_true(lambda: children(p.program), "its child")
    pids = [p.program, *children(p.program)]
    t.call("down")
    check(finish(p) == 137, p.returncode, p.err)
    await_end(pids, 1)


# ---- a rack for one run ----

def test_private_rack(t):
    check(run(t, "--memory", "2", "--memory-size", "64M", "echo", "hi").out == "hi\n")
    t.nothing_left()
    run(t, SH, "-c", "exit 3", code=3)
    run(t, SH, "-c", "kill -9 $$", code=137)
    run(t, "no-such-program", code=127)
    t.nothing_left()
    many = [t.popen("run", "--memory-size", "64M", SH, "-c", f"exit {n}") for n in range(1, 4)]
    check([p.wait(20) for p in many] == [1, 2, 3])


def test_private_rack_loses_its_command(t):
    p = start(t, "sleep 1000; true", "--memory-size", "64M")
    pids = [p.program, *t.daemons()]
    check(len(pids) >= 5, pids)
    p.kill()
    p.wait()
    await_end(pids, 4)
    await_true(lambda: not os.listdir(t.base()), "its directory gone")


def test_private_rack_loses_its_guardian(t):
    p = start(t, "sleep 1000; true", "--memory-size", "64M")
    daemons = t.daemons()
    guardian = [c for c in children(p.pid) if open(f"/proc/{c}/comm").read() == "ashlar-guardian\n"]
    check(len(guardian) == 1, guardian)
    t.kill(guardian[0])
    p.kill()
    p.wait()
    await_end([d for d in daemons if d != p.pid], 4)
    await_end([p.program], 1)
    check(len(os.listdir(t.base())) == 1, os.listdir(t.base()))
    run(t, "--memory-size", "64M", "/bin/true")
    check(os.listdir(t.base()) == [], os.listdir(t.base()))


def test_private_rack_loses_a_daemon(t):
    for kind in ("ashlar-memory", "ashlar-storage", "ashlar-process", "ashlar-global"):
        p = start(t, "sleep 1000; true", "--memory-size", "64M")
        victim = [d for d in t.daemons() if kind in cmdline(d).split()[0]]
        check(len(victim) == 1, kind, victim)
        t.kill(victim[0])
        if kind in ("ashlar-memory", "ashlar-process"):
            check(finish(p) == 137, kind, p.returncode, p.err)
        else:
            p.terminate()
            finish(p)
        t.nothing_left()


main(dict(globals()), sys.argv)
