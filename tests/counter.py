"""Computes until it is told to stop, then starts other programs, and says whether all was right.

usage: counter.py MEBIBYTES. Prints "ready"; a line of input ends it.
"""
import select
import subprocess
import sys

memory = bytearray(int(sys.argv[1]) << 20)
PAGES = len(memory) // 4096
rounds = 0
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    for page in range(PAGES):
        at = page * 4096
        if memory[at] != rounds % 256:
            sys.exit(f"page {page} holds {memory[at]} after {rounds} rounds")
        memory[at] = (rounds + 1) % 256
    rounds += 1
said = subprocess.run(["/bin/sh", "-c", "echo one | cat"], capture_output=True, check=True).stdout
print("right" if said == b"one\n" and rounds > 0 else said, flush=True)
