#!/usr/bin/python3
"""`ashlar run --trace=FILE`: a line a call, decoded, with where it went.

Usage: test_trace.py ASHLAR
"""
import os
import re
import subprocess
import sys
import tempfile

PROGRAM = """
import os, socket, ctypes
fd = os.open("f", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
os.write(fd, b"hello\\n")
os.lseek(fd, 0, os.SEEK_SET)
os.read(fd, 100)
os.fstat(fd)
try:
    os.open("missing", os.O_RDONLY)
except FileNotFoundError:
    pass
ends = os.pipe()
os.write(ends[1], b"x")
os.getppid()
for _ in range(2):
    ctypes.CDLL(None).syscall(323, 0)
if os.fork() == 0:
    os._exit(3)
os.wait()
os.execv("/bin/echo", ["echo", "done"])
"""

COST = r" <\d+\.\d us>"
EXPECTED = [
    r'openat\(AT_FDCWD, "f", O_RDWR\|O_CREAT\|O_CLOEXEC, 0640\) = (\d+)' + COST + r" \[s1\]",
    r'write\(\d+, "hello\\n", 6\) = 6' + COST + r" \[s1\]",
    r"lseek\(\d+, 0, SEEK_SET\) = 0" + COST,
    r'read\(\d+, "hello\\n", 100\) = 6' + COST + r" \[s1\]",
    r"(newfstatat|fstat)\(\d+, .*st_mode=0100640, st_size=6, .*\) = 0" + COST + r" \[s1\]",
    r'openat\(AT_FDCWD, "missing", O_RDONLY\|O_CLOEXEC\) = -1 ENOENT '
    r"\(No such file or directory\)" + COST + r" \[s1\]",
    r"pipe2\(\[\d+, \d+\], O_RDONLY\|O_CLOEXEC\) = 0" + COST + r" \[host\]",
    r'write\(\d+, "x", 1\) = 1' + COST + r" \[host\]",
    r"getppid\(\) = \d+" + COST + r".*",
    r"clone\(.*SIGCHLD.*\) = \d+" + COST + r".*",
    r"exit_group\(3\) = \?",
    r"wait4\(-1, \[exit 3\], 0, NULL\) = \d+" + COST + r" \[host\]",
    r'execve\("/bin/echo", \["echo", "done"\], 0x[0-9a-f]+\) = \?',
    r'write\(1, "done\\n", 5\) = 5' + COST + r" \[host\]",
    r"exit_group\(0\) = \?",
]


def main():
    """Runs it and looks for each line in its order, where one process makes them."""
    with tempfile.TemporaryDirectory(prefix="ashlar-trace-") as directory:
        done = subprocess.run([os.path.abspath(sys.argv[1]), "run", "--trace=trace", "--",
                               "/usr/bin/python3", "-c", PROGRAM], cwd=directory,
                              stdout=subprocess.PIPE, timeout=100, check=True)
        with open(os.path.join(directory, "trace")) as source:
            lines = source.read().splitlines()
    assert done.stdout == b"done\n", done.stdout
    for line in lines:
        assert re.match(r"\[pid \d+\] \w+\(|ashlar: system call ", line), line
    at = 0
    for pattern in EXPECTED:
        where = [i for i in range(at, len(lines))
                 if re.fullmatch(r"\[pid \d+\] " + pattern, lines[i])]
        assert where, f"no line like {pattern} after line {at}"
        # Those of the child and of its parent may come in either order.
        at = where[0] if "exit_group(3)" not in lines[where[0]] else at
    refused = [line for line in lines if line.startswith("ashlar: system call ")]
    assert refused.count("ashlar: system call userfaultfd (323) is not served: EPERM") == 1, refused
    pids = {line.split("]")[0] for line in lines if line.startswith("[pid ")}
    assert len(pids) == 2, pids


main()
