"""What the end-to-end tests share: racks in a directory of their own, and what must not be left.

Python's standard library alone. A test file defines functions test_*(t) and calls main(); each gets
a Tester. Everything is awaited by an event (a pidfd, an end of file, an answer), with a deadline.
"""
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

STATUS_KEYS = {"id", "kind", "pid", "address", "state", "size_bytes", "used_bytes"}
NOBODY = 65534
SH, PYTHON = "/bin/sh", "/usr/bin/python3"


class Failure(Exception):
    pass


def check(condition, *what):
    if not condition:
        raise Failure(" ".join(str(w) for w in what) or "check failed")


def alive(pid):
    """Whether a process runs: zombies, which somebody else has not reaped yet, do not."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def await_end(pids, seconds=5.0):
    """Waits until none of the processes is left; returns how long it took."""
    began = time.monotonic()
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        left = began + seconds - time.monotonic()
        ended = poll.poll(max(0, left * 1000))
        os.close(fd)
        check(ended, f"process {pid} still runs after {seconds} s:", cmdline(pid))
    return time.monotonic() - began


def await_true(condition, what, seconds=5.0):
    """For what has no event to wait for: asks again until a deadline."""
    until = time.monotonic() + seconds
    while not (value := condition()):
        check(time.monotonic() < until, "still not:", what)
        time.sleep(0.01)
    return value


def cmdline(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            return [int(word) for word in f.read().split()]
    except OSError:
        return []


class Tester:
    def __init__(self, ashlar):
        self.ashlar = ashlar
        self.runtime = tempfile.mkdtemp(prefix="ashlar-test-")
        self.work = os.path.join(self.runtime, "work")
        os.mkdir(self.work)
        self.env = {k: v for k, v in os.environ.items() if k != "ASHLAR_RACK"}
        self.env["XDG_RUNTIME_DIR"] = self.runtime
        self.marks = []

    def popen(self, *args, **options):
        options.setdefault("env", self.env)
        options.setdefault("cwd", self.work)
        return subprocess.Popen([self.ashlar, *args], **options)

    def call(self, *args, code=0, timeout=30, **options):
        """Runs the command, checks its exit code (None: any) and returns it with its output."""
        options.setdefault("stdin", subprocess.DEVNULL)
        with self.popen(*args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                        **options) as p:
            try:
                out, err = p.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                p.kill()
                raise Failure("ashlar", *args, f"did not end within {timeout} s")
        if code is not None:
            check(p.returncode == code,
                  f"ashlar {' '.join(args)}: exit code {p.returncode}, not {code}:\n{out}{err}")
        p.out, p.err = out, err
        return p

    def status(self, *args, code=0):
        return json.loads(self.call("status", "--json", *args, code=code).out)

    def components(self, *args, code=None):
        return {c["id"]: c for c in self.status(*args, code=code)["components"]}

    def await_healthy(self, *args):
        await_true(lambda: self.call("status", *args, code=None).returncode == 0, "healthy")

    def daemons(self):
        """The pids of every daemon and guardian that works under this tester's directory."""
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit() and self.runtime in cmdline(int(name)) and alive(int(name)):
                found.append(int(name))
        return [pid for pid in found if pid != os.getpid()]

    def base(self):
        return os.path.join(self.runtime, "ashlar")

    def nothing_left(self):
        left = [f"{pid} {cmdline(pid)}" for pid in self.daemons()]
        check(not left, "processes are left:\n ", "\n  ".join(left))
        files = os.listdir(self.base()) if os.path.isdir(self.base()) else []
        check(not files, f"left in {self.base()}:", files)

    def kill(self, pid, number=signal.SIGKILL):
        os.kill(pid, number)
        if number == signal.SIGKILL:
            await_end([pid])

    def logs(self):
        """The last lines of every daemon's log."""
        text = []
        for directory, _, names in os.walk(self.base()):
            for name in sorted(n for n in names if n.endswith(".log")):
                with open(os.path.join(directory, name), errors="replace") as f:
                    lines = f.read().splitlines()[-12:]
                text += [f"-- {name}", *lines]
        return "\n".join(text)

    def close(self):
        for pid in self.daemons():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        shutil.rmtree(self.runtime, ignore_errors=True)


# ---- running programs on a rack ----

def up(t, *args):
    t.call("up", "--memory-size", "256M", *args)


def start(t, script, *args, **options):
    """Starts `sh -c script` and waits for its first line, which is its pid."""
    p = t.popen("run", *args, "--", SH, "-c", "echo $$; " + script, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True, **options)
    line = p.stdout.readline()
    check(line.strip().isdigit(), "no pid from the program:", repr(line), p.poll())
    p.program = int(line)
    return p


def finish(p, timeout=10):
    p.out, p.err = p.communicate(timeout=timeout)
    return p.returncode


def holds(component):
    """Bytes that it holds, in its memory and in its log."""
    return component["used_bytes"] + component["logged_bytes"]


def memories(t):
    """The mComponents, by name."""
    return {name: c for name, c in t.components(code=None).items() if c["kind"] == "memory"}


def two_copies(t):
    """Whether every part that is to have a second copy has one."""
    return not any(c["single"] for c in memories(t).values() if c["state"] != "down")


def held(t):
    """What each mComponent holds that is there."""
    return {name: holds(c) for name, c in memories(t).items() if c["state"] != "down"}


def memory_becomes_free(t):
    try:
        await_true(lambda: not any(held(t).values()), "memory is free", 10)
    except Failure as error:
        spaces = {name: c["processes"] for name, c in memories(t).items()}
        raise Failure(f"{error}: bytes {held(t)}, address spaces {spaces}") from error


def memory_is_free(t):
    held = {c["id"]: holds(c) for c in t.components().values() if c["kind"] == "memory"}
    check(held and not any(held.values()), "memory is still held:", held)


class Terminal:
    """A session with a terminal; its leader starts the command as a shell would a job."""

    def __init__(self, t, argv):
        self.report, to_test = os.pipe()
        from_test, self.orders = os.pipe()
        self.leader, self.terminal = pty.fork()
        if self.leader == 0:
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            job = os.fork()
            if job == 0:
                os.setpgid(0, 0)
                os.tcsetpgrp(0, os.getpid())
                signal.signal(signal.SIGTTOU, signal.SIG_DFL)
                os.chdir(t.work)
                os.execve(argv[0], argv, t.env)
            while True:
                pid, status = os.waitpid(job, os.WUNTRACED)
                if os.WIFSTOPPED(status):
                    os.write(to_test, f"stopped {os.WSTOPSIG(status)}\n".encode())
                    os.tcsetpgrp(0, os.getpgrp())
                    os.read(from_test, 1)
                    os.tcsetpgrp(0, job)
                    os.killpg(job, signal.SIGCONT)
                    os.write(to_test, b"continued\n")
                else:
                    code = os.waitstatus_to_exitcode(status)
                    own = os.tcgetpgrp(0) in (job, os.getpgrp())
                    os.write(to_test, f"ended {code} {own}\n".encode())
                    os._exit(0)
        os.close(to_test)
        os.close(from_test)
        self.seen = self.lines = b""

    def type(self, keys):
        os.write(self.terminal, keys)

    def go_on(self):
        """As `fg` does."""
        os.write(self.orders, b"g")
        check(self.said() == "continued")

    def await_output(self, text, seconds=10):
        until = time.monotonic() + seconds
        while text not in self.seen:
            ready, _, _ = select.select([self.terminal], [], [], max(0, until - time.monotonic()))
            check(ready, "the terminal does not show", text, "but", self.seen)
            self.seen += os.read(self.terminal, 4096)

    def said(self, seconds=10):
        """The leader's next line."""
        while b"\n" not in self.lines:
            ready, _, _ = select.select([self.report], [], [], seconds)
            check(ready, "nothing happened on the terminal:", self.seen)
            self.lines += os.read(self.report, 100)
        line, _, self.lines = self.lines.partition(b"\n")
        return line.decode()

    def close(self):
        os.close(self.terminal)
        os.close(self.report)
        os.close(self.orders)
        os.waitpid(self.leader, 0)


def nobody_reaches(path):
    """Whether an ordinary user can run it: not where root keeps its build to itself."""
    os.seteuid(NOBODY)
    try:
        return os.access(path, os.X_OK, effective_ids=True)
    finally:
        os.seteuid(0)


def drop_root():
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    os.environ["HOME"] = "/tmp"


def give_up(*_):
    """Who ends a test leaves no rack behind either, even by saying so twice."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit("ended by SIGTERM")


def main(tests, argv):
    """argv: ASHLAR [--user] [--drop] [NAME...]; root as nobody: --user always, --drop if it can.

    With --user a test is skipped where nobody cannot reach the build.
    """
    arguments = [a for a in argv[1:] if a not in ("--user", "--drop")]
    ashlar, wanted = os.path.abspath(arguments[0]), arguments[1:]
    if os.geteuid() == 0 and len(argv) > 1 + len(arguments):
        if nobody_reaches(ashlar):
            own_python = nobody_reaches(os.path.realpath(sys.executable))
            drop_root()
            if not own_python:  # what it imports later would be out of reach, too
                os.execv(PYTHON, [PYTHON, *sys.orig_argv[1:]])
        else:
            print(f"{ashlar} is out of an ordinary user's reach", flush=True)
            if "--user" in argv:
                sys.exit(77)
    signal.signal(signal.SIGTERM, give_up)
    failed = 0
    for name, test in tests.items():
        if not name.startswith("test_") or (wanted and name not in wanted):
            continue
        t = Tester(ashlar)
        began = time.monotonic()
        try:
            test(t)
            t.nothing_left()
            print(f"ok   {name} ({time.monotonic() - began:.2f} s)", flush=True)
        except Exception as error:
            failed += 1
            print(f"FAIL {name}: {error}", flush=True)
            print(t.logs(), flush=True)
            if not isinstance(error, Failure):
                traceback.print_exc()
        finally:
            t.close()
    sys.exit(1 if failed else 0)
