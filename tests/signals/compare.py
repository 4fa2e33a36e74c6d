#!/usr/bin/python3
"""Runs a program natively and by `ashlar run`, and compares output and exit status.

Usage: compare.py [--user] ASHLAR [OPTION OF RUN...] -- PROGRAM [ARG...]
--user: both as an ordinary user, where this runs as root.
"""
import difflib
import os
import shutil
import subprocess
import sys
import tempfile

TIMEOUT_S = 150
NOBODY = 65534


def run(command, user):
    """Output and status (128 + n for a signal) of a command, in an empty directory of its own."""
    identity = {}
    directory = tempfile.mkdtemp(prefix="ashlar-compare-")
    if user and os.getuid() == 0:
        identity = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        os.chown(directory, NOBODY, NOBODY)
    try:
        environment = dict(os.environ, XDG_RUNTIME_DIR=directory, HOME=directory)
        done = subprocess.run(command, cwd=directory, env=environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT_S,
                              check=False, **identity)
    finally:
        shutil.rmtree(directory)
    status = done.returncode if done.returncode >= 0 else 128 - done.returncode
    return done.stdout.decode(errors="replace"), status


def main():
    """Compares."""
    arguments = sys.argv[1:]
    user = arguments[0] == "--user"
    if user:
        del arguments[0]
    at = arguments.index("--")
    ashlar, options, program = arguments[0], arguments[1:at], arguments[at + 1:]
    program[0] = os.path.abspath(program[0])
    native, native_status = run(program, user)
    inside, status = run([os.path.abspath(ashlar), "run", *options, "--", *program], user)
    for line in difflib.unified_diff(native.splitlines(), inside.splitlines(), "native", "inside",
                                     lineterm=""):
        print(line)
    if status != native_status:
        print(f"exit status: natively {native_status}, inside {status}")
    return native != inside or status != native_status


if __name__ == "__main__":
    sys.exit(main())
