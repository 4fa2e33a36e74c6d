#!/usr/bin/python3
"""Calls from rewritten sites: test_coverage.py ASHLAR PROGRAM...

Of a program that makes many calls from few places nearly all come by a jump, and none where
--no-rewrite is given; what it prints is the same.
"""
import json
import os
import subprocess
import sys
import tempfile

PYTHON = """
import os, threading
def work():
    for i in range(400):
        with open('/etc/passwd') as f: f.read(); f.seek(0)
        r, w = os.pipe(); os.write(w, b'x'); os.read(r, 1); os.close(r); os.close(w)
threads = [threading.Thread(target=work) for i in range(4)]
for t in threads: t.start()
for t in threads: t.join()
print(os.getpid() == int(os.readlink('/proc/self')))
"""


def run(ashlar, options):
    """What the program printed, its dispatched and its rewritten calls."""
    with tempfile.NamedTemporaryFile("r", suffix=".json") as stats:
        done = subprocess.run([ashlar, "run", *options, "--stats", stats.name, "--",
                               "/usr/bin/python3", "-c", PYTHON],
                              check=True, stdout=subprocess.PIPE, timeout=100)
        figures = json.load(stats)
    return done.stdout, figures["dispatched_calls"], figures["rewritten_calls"]


def main():
    """Runs it both ways, and where lines of text are evicted all the time."""
    ashlar = os.path.abspath(sys.argv[1])
    failed = 0
    for options, share in ([], 0.9), (["--no-rewrite"], 0), (["--excache", "8M"], 0.9):
        printed, dispatched, rewritten = run(ashlar, options)
        print(f"{' '.join(options)}: {dispatched} dispatched, {rewritten} rewritten")
        right = rewritten >= share * (dispatched + rewritten) and printed == b"True\n"
        failed |= not right or (share == 0 and rewritten != 0)
    return failed


if __name__ == "__main__":
    sys.exit(main())
