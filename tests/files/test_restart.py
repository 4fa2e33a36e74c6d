#!/usr/bin/python3
"""Open files over the death and the return of their sComponent's monitor.

Usage: test_restart.py ASHLAR PROGRAM (restart.c)
"""
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from racks import NOBODY, await_true, check, main  # noqa: E402

PROGRAM = os.path.abspath(sys.argv.pop(2))
LOG_GONE_S = 10  # proto/limits.h
LEASES_S = 2     # more than one


def start(t, *arguments):
    """Runs the program until it is ready; returns it and its first half's output."""
    t.call("up", "--memory-size", "256M")
    p = t.popen("run", "--", PROGRAM, *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, text=True)
    lines = []
    while not lines or lines[-1] != "ready":
        line = p.stdout.readline()
        check(line, "it ended:", lines)
        lines.append(line.strip())
    return p, lines


def finish(p):
    out, _ = p.communicate("x", timeout=30)
    check(p.returncode == 0, "exit code", p.returncode, out)
    return [line.partition(": ")[2] for line in out.splitlines()]


def storage_of(t):
    """The monitor's pid, and the command that starts it again at its address."""
    component = next(c for c in t.components().values() if c["kind"] == "storage")
    with open(f"/proc/{component['pid']}/cmdline", "rb") as f:
        command = f.read().decode().split("\0")[:-1]
    command[command.index("--listen") + 1] = component["address"]
    ready = command.index("--ready-fd")
    del command[ready:ready + 2]
    return component["pid"], command


def after_its_return(t, p):
    """What the program says once the monitor was killed and is back."""
    pid, command = storage_of(t)
    t.kill(pid)
    with subprocess.Popen(command, env=t.env, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as storage:
        after = finish(p)
        storage.terminate()
        check(storage.wait(timeout=5) == 0, "ashlar-storage ended with", storage.returncode)
    return after


def test_files_are_opened_again(t, *arguments):
    p, before = start(t, *arguments)
    after = after_its_return(t, p)
    check("pread(file, b, 5, 0) = 5" in after and "hello" in after, after)
    check("pread(unlinked, b, 5, 0): ESTALE" in after, after)
    check("write(file, \"more\", 4) = 4" in after and "size 13" in after, after)
    check("fstat(directory, &st) = 0" in after, after)
    check("openat(directory, \"missing\", O_RDONLY): ENOENT" in after, after)
    # Its record locks were taken again with the first request about the file.
    check("byte 0: POSIX lock from 0 to 3" in after and "byte 5 is free" in after, after)
    check("byte 9: POSIX lock from 7 to 9" in after, after)
    check("byte 20: OFD lock from 20 to 29" in after and "byte 35 is free" in after, after)
    check(any(l.endswith("LOCK_SH | LOCK_NB): EAGAIN") for l in after), after)
    check(after[-1] == "byte 0 is free", after)
    t.call("down")


def test_another_user_stays_who_he_is(t):
    """What he may not open he may not open afterwards, and reads on by what was open before."""
    if os.geteuid() != 0:
        return
    os.chmod(t.runtime, 0o755)
    p, before = start(t, "another")
    expected = ["pread(file, b, 5, 0) = 5", "hello", "open(\"file\", O_RDONLY): EACCES",
                "access(\"file\", R_OK): EACCES",
                "close(open(\"all/made\", O_CREAT | O_WRONLY, 0644)) = 0",
                "stat(\"all/made\", &st) = 0", f"user {NOBODY} group {NOBODY}",
                "unlink(\"all/made\") = 0"]
    check([line.partition(": ")[2] for line in before[1:-1]] == expected, before)
    after = after_its_return(t, p)
    check(after == 2 * expected, after) # his own and a child's
    t.call("down")


def test_an_execve_hands_locks_on(t):
    test_files_are_opened_again(t, "exec")


def test_a_lost_one_is_eio(t):
    p, _ = start(t)
    pid, _ = storage_of(t)
    t.kill(pid)
    began = time.monotonic()
    p.stdin.write("x")
    p.stdin.flush()
    check("pread(file, b, 5, 0): EIO" in p.stdout.readline())
    check(4 < time.monotonic() - began < 10, "EIO after", time.monotonic() - began)
    p.kill() # its next call waits as long
    p.communicate()
    t.call("down", code=None)


def a_disk_of_its_own(t):
    """A file system that can be made to stand still; None: the host has no loop device for it."""
    image, disk = os.path.join(t.work, "image"), os.path.join(t.work, "disk")
    os.mkdir(disk)
    with open(image, "wb") as f:
        f.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    made = subprocess.run(["mount", "-o", "loop", image, disk], stderr=subprocess.DEVNULL)
    return disk if made.returncode == 0 else None


def waits_for_the_host(pid):
    """Whether one of its threads does, where no signal ends that."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/stat") as f:
            if f.read().rpartition(")")[2].split()[0] == "D":
                return True
    return False


def test_a_disk_that_stands_still(t):
    """It holds up the deletion of a log that nobody has, and no heartbeat."""
    disk = a_disk_of_its_own(t) if os.geteuid() == 0 else None
    if not disk:
        return
    log = os.path.join(disk, ".ashlar-logs-s2", "99-1") # of no mComponent that there ever was
    os.mkdir(os.path.dirname(log))
    with open(log, "w"):
        pass
    frozen = False
    t.call("up", "--memory-size", "256M")
    _, command = storage_of(t)
    command[command.index("--name") + 1] = "s2"
    command[command.index("--listen") + 1] = "127.0.0.1:0"

    def told(what):
        return re.search(rf"g1 s2 \(number \d+\) is {what}", t.logs())
    with subprocess.Popen([*command, "--log-dir", disk], env=t.env, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as storage:
        try:
            await_true(lambda: told("up"), "it is up")
            subprocess.run(["fsfreeze", "-f", disk], check=True)
            frozen = True
            await_true(lambda: waits_for_the_host(storage.pid), "it waits for the disk",
                       LOG_GONE_S + 5)
            time.sleep(LEASES_S)
            check(not told("down"), "its heartbeats waited for the disk")
            check(os.path.exists(log), "it was not held up")
            subprocess.run(["fsfreeze", "-u", disk], check=True)
            frozen = False
            await_true(lambda: not os.path.exists(log), "the log is gone")
            storage.terminate()
            check(storage.wait(timeout=5) == 0, "ashlar-storage ended with", storage.returncode)
        finally:
            if frozen:
                subprocess.run(["fsfreeze", "-u", disk], check=True)
            storage.kill()
            storage.wait()
            subprocess.run(["umount", disk], check=True)
    t.call("down", code=None)


if __name__ == "__main__":
    main(globals(), sys.argv)
