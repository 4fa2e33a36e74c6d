#!/usr/bin/python3
"""Debian's own test-suites, natively and then on a rack, and the verdicts of each test compared.

usage: test_suites.py ASHLAR [--drop] [--soak] [--only WORD]... [test_SUITE...]

What a test says natively, as the same user on the same machine, is what it must say inside: a test
that fails or is skipped natively is left out by that alone, and named. A test that hangs is ended
and counted; the others of its module run again without it. A Python test that differs runs once
more, alone. --soak takes all that each suite has, --only those whose name has the word.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from racks import PYTHON, check, main, memory_is_free  # noqa: E402

SOAK = False
ONLY = []
EXCACHE = "32M"
CLEAN = {"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/nonexistent"}


def wanted(names, quick):
    chosen = names if SOAK or ONLY else [n for n in names if n in quick]
    return [n for n in chosen if not ONLY or any(word in n for word in ONLY)]


class Ran:
    """A command in a session of its own, of which nothing is left after its time is up."""

    def __init__(self, t, argv, inside, timeout, excache=EXCACHE):
        where = os.path.join(t.work, "inside" if inside else "natively")
        os.makedirs(where, exist_ok=True)
        if inside:
            argv = [t.ashlar, "run", "--replicas", "1", "--excache", excache, "--", *argv]
        began = time.monotonic()
        with open(os.path.join(t.runtime, "output"), "w+b") as output:
            p = subprocess.Popen(argv, env={**CLEAN, "XDG_RUNTIME_DIR": t.runtime}, cwd=where,
                                 stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                 start_new_session=True)
            try:
                self.code = p.wait(timeout)
                self.late = False
            except subprocess.TimeoutExpired:
                os.killpg(p.pid, signal.SIGKILL)
                self.code, self.late = p.wait(), True
            output.seek(0)
            self.output = output.read().decode(errors="replace")
        self.seconds = time.monotonic() - began
        self.where = where


def tail(text, lines=25):
    return "\n      ".join(["", *text.strip().splitlines()[-lines:]])


class Comparison:
    def __init__(self):
        self.compared = self.left_out = 0
        self.differences = []

    def add(self, name, native, inside, passed, why=""):
        if native not in passed:
            self.left_out += 1
            if native != "skip" and name not in NATIVELY:
                print(f"  left out {name}: natively {native}", flush=True)
            return
        self.compared += 1
        if inside != native:
            self.differences.append(f"{name}: natively {native}, inside {inside}")
            print(f"  DIFFERS {self.differences[-1]}{why}", flush=True)

    def close(self, t):
        print(f"  {self.compared} compared, {len(self.differences)} differ; {self.left_out} left "
              "out, which do not pass natively", flush=True)
        check(self.compared > 0, "nothing was compared")
        check(not self.differences, "\n  ".join(["", *self.differences]))
        memory_is_free(t)
        t.call("down")


def up(t):
    t.call("up", "--memory", "2", "--memory-size", "2G")


# ---- CPython ----

MODULES = ["os", "posix", "subprocess", "signal", "threading", "thread", "threadsignals", "mmap",
           "select", "selectors", "poll", "epoll", "socket", "socketserver", "asyncio", "fcntl",
           "io", "fileio", "tempfile", "shutil", "pathlib", "time", "resource", "pty", "popen",
           "multiprocessing_fork", "multiprocessing_spawn", "multiprocessing_forkserver",
           "multiprocessing_main_handling", "fork1", "wait3", "wait4", "stat", "glob",
           "ctypes", "sqlite3", "pwd", "grp", "concurrent_futures", "queue", "largefile", "gc",
           "faulthandler", "eintr", "posixpath", "file", "ioctl", "tracemalloc", "interpreters",
           "openpty", "ssl", "httpservers", "ftplib", "zlib", "lzma", "hashlib", "pickle"]
QUICK_MODULES = ["os", "posix", "thread", "threadsignals", "mmap", "select", "epoll", "wait4"]


def verdicts_of(t, module, inside, timeout):
    """{test: verdict} of a module; hung tests are known by their beginning."""
    verdicts, output, seconds = {}, "", 0
    path = os.path.join(t.runtime, "verdicts")
    for _ in range(6):
        open(path, "w").close()
        ran = Ran(t, [PYTHON, f"{HERE}/one_module.py", module, path, *verdicts], inside, timeout)
        output += ran.output
        seconds += ran.seconds
        current = None
        with open(path) as f:
            for line in f:
                verdict, _, name = line.strip().partition(" ")
                current = name
                verdicts[name] = verdict
        if not ran.late and ran.code == 0:
            break
        if current is None or verdicts[current] != "begin":
            verdicts[f"{module} as a whole"] = "hung" if ran.late else f"ended with {ran.code}"
            break
        verdicts[current] = "hung" if ran.late else f"ended with {ran.code}"
    return verdicts, output, seconds


def failure_of(output, name):
    """What the suite printed about a test's failure."""
    last = name.rpartition(".")[2]
    for piece in output.split("Traceback (most recent call last):"):
        if f"in {last}" in piece:
            return tail(piece, 14)
    return ""


def once_more(t, test, found):
    """The verdict of a test on its own: many give what they wait for a second or two."""
    again = verdicts_of(t, test, True, 120)[0].get(test, found)
    print(f"  {test}: {found}, and on its own {again}", flush=True)
    return again


def python_modules(t, names):
    up(t)
    comparison = Comparison()
    for name in names:
        module = f"test.test_{name}"
        natively, _, took = verdicts_of(t, module, False, 1200)
        inside, output, seconds = verdicts_of(t, module, True, 60 + 15 * took)
        print(f"  {module}: {len(natively)} tests, natively {took:.1f} s, inside {seconds:.1f} s",
              flush=True)
        for test, verdict in natively.items():
            found = inside.get(test, "not run")
            if verdict == "ok" and found not in ("ok", "not run"):
                found = once_more(t, test, found)
            comparison.add(test, verdict, found, ("ok",), failure_of(output, test))
        for test, verdict in inside.items():
            if test not in natively:
                comparison.add(test, "ok", verdict, ("ok",))
    comparison.close(t)


def test_cpython(t):
    python_modules(t, wanted(MODULES, QUICK_MODULES))


# ---- stress-ng ----

QUICK_STRESSORS = """brk clone epoll exec fork futex io itimer mmapfork mprotect mremap msg mutex
    pipe pthread ptrace sem-sysv shm-sysv sigq sigsegv sigsuspend switch vforkmany wait""".split()


# What cannot be compared, as it does not work natively either: of an ordinary user, on the machine
# that this was written on. What is left out and not here is printed.
NATIVELY = {name: why for why, names in {
    "needs root or a capability": """apparmor binderfs chroot cpu-online cyclic fanotify icmp-flood
        idle-page klog loop memhotplug netlink-proc netlink-task physpage ping-sock quota ramfs rawdev
        rawpkt rawsock rawudp seccomp smi softlockup swap tun umount uprobe userfaultfd""",
    "stress-ng has it disabled, as it may hang the machine":
        "bad-ioctl bind-mount mlockmany oom-pipe sysinval watchdog",
    "no such processor, device or protocol":
        "dccp efivar gpu ioport ipsec-mb kvm l1cache llc-affinity rdrand sctp tsc verity x86syscall",
    "glibc has registered its own": "rseq",
    "needs a file of its own to be named": "plugin",
    "no tmpfs that the user may write to": "tmpfs",
}.items() for name in names.split()}

# What Ashlar refuses (docs/caveats.md), by the stressors that are about it. They must go on to
# differ: what is served one day has to leave this list.
REFUSED = {
    "kernel AIO": ["aiol"], "io_uring": ["io-uring"], "ptrace": ["ptrace", "vm-segv"],
    "F_NOTIFY": ["dnotify"], "FS_IOC_FIEMAP": ["fiemap"], "keyrings": ["key"],
    "Landlock": ["landlock"], "memfd_secret": ["secretmem"], "memory of other processes": ["vm-rw"],
    "Syscall User Dispatch": ["usersyscall"],
}


def stressor(t, name, inside, timeout):
    ran = Ran(t, ["stress-ng", "--verify", "--timeout", "1", "--temp-path", ".", f"--{name}", "1"],
              inside, timeout)
    said = re.search(r"skipp\w+.*", ran.output)
    if ran.late:
        verdict = "hung"
    elif ran.code == 0 and not said:
        verdict = "ok"
    else:
        verdict = f"code {ran.code}" + (f", {said.group()}" if said else "")
    return verdict, ran


def test_stress(t):
    up(t)
    listed = subprocess.run(["stress-ng", "--stressors"], capture_output=True, text=True)
    comparison = Comparison()
    refused = {name: why for why, names in REFUSED.items() for name in names}
    for name in wanted(listed.stdout.split(), QUICK_STRESSORS):
        natively, _ = stressor(t, name, False, 20)
        if natively != "ok":
            comparison.add(name, natively, natively, ("ok",))
            continue
        inside, ran = stressor(t, name, True, 10 if name in refused else 60)
        if name in refused:
            print(f"  {name}: inside {inside}: {refused[name]} is refused", flush=True)
            comparison.add(name, "refused", "ok" if inside == "ok" else "refused", ("refused",))
            continue
        comparison.add(name, natively, inside, ("ok",),
                       f" ({ran.seconds:.1f} s)" + tail(ran.output, 12))
    comparison.close(t)


# ---- Ashlar itself ----

NOT_UNITS = ["rack", "pressure", "signals", "files", "memory", "conformance", "programs",
             "rewrite"]


# They look for what docs/caveats.md says is not there, and must go on to differ.
UNITS_REFUSED = {"storage-watch": "an inotify in /proc/PID/fd of another process is a pipe"}


def unit_verdicts(t, build, inside):
    Ran(t, ["meson", "test", "-C", build, "--no-rebuild",
            *(f"--no-suite={name}" for name in NOT_UNITS)], inside, 1800, "512M")
    with open(f"{build}/meson-logs/testlog.json") as f:
        return {test["name"]: test["result"] for test in map(json.loads, f)}


def test_itself(t):
    """Configured and built inside, its unit tests then run natively and inside."""
    tree, build = f"{t.work}/ashlar", f"{t.work}/ashlar/build"
    shutil.copytree(os.path.dirname(os.path.dirname(HERE)), tree, symlinks=True,
                    ignore=shutil.ignore_patterns("build*", ".git"))
    up(t)
    for argv in (["meson", "setup", build, tree], ["ninja", "-C", build, "-j2"]):
        ran = Ran(t, argv, True, 3600, "64M")
        check(ran.code == 0, *argv, tail(ran.output))
        print(f"  {argv[0]}: {ran.seconds:.0f} s", flush=True)
    natively, inside = unit_verdicts(t, build, False), unit_verdicts(t, build, True)
    comparison = Comparison()
    for name, verdict in natively.items():
        found = inside.get(name, "not run")
        if why := UNITS_REFUSED.get(name.rpartition("/")[2].strip()):
            print(f"  {name}: inside {found}: {why}", flush=True)
            comparison.add(name, "FAIL", found, ("FAIL",))
        else:
            comparison.add(name, verdict, found, ("OK",))
    comparison.close(t)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore it
    arguments = []
    rest = iter(sys.argv[1:])
    for argument in rest:
        if argument == "--soak":
            SOAK = True
        elif argument == "--only":
            ONLY.append(next(rest))
        else:
            arguments.append(argument)
    main(dict(globals()), [sys.argv[0], *arguments])
