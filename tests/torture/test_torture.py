#!/usr/bin/python3
"""The torture program on a rack of its own: test_torture.py ASHLAR PROGRAM SECONDS SEED...

Each seed runs SECONDS with an ExCache that is a quarter of its memory, so that all of it evicts, the
rewritten text too. A failure is replayed by its seed: ashlar run --excache 4M PROGRAM SEED SECONDS.
"""
import os
import subprocess
import sys

RACK = f"torture-{os.getpid()}"
EXCACHE = "4M"


def main():
    """Runs the seeds, with each policy and way of eviction in turn."""
    ashlar, program = (os.path.abspath(path) for path in sys.argv[1:3])
    seconds, seeds, failed = sys.argv[3], sys.argv[4:], 0
    ways = [], ["--policy", "fifo"], ["--no-move"]
    subprocess.run([ashlar, "up", "--rack", RACK, "--memory", "1", "--memory-size", "1G"],
                   check=True, stdout=subprocess.DEVNULL)
    try:
        for i, seed in enumerate(seeds):
            way = ways[i % len(ways)]
            done = subprocess.run([ashlar, "run", "--rack", RACK, "--excache", EXCACHE, *way, "--",
                                   program, seed, seconds], check=False, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=60 + 10 * float(seconds))
            print(f"{' '.join(way)} {done.stdout.strip()} [{done.returncode}]", flush=True)
            failed |= done.returncode != 0
    finally:
        subprocess.run([ashlar, "down", "--rack", RACK], check=False, stdout=subprocess.DEVNULL)
    return failed


if __name__ == "__main__":
    sys.exit(main())
