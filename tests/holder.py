"""A program to be ended: two processes and a thread, with more memory than their ExCache holds.

usage: holder.py MEBIBYTES [busy]. Prints "ready", its pid and its child's, then goes on for ever:
waiting, or with `busy` reading and changing all of its memory.
"""
import os
import signal
import sys
import threading

# A signal that comes just before the last line's read is not missed: it writes a byte.
wake, woken = os.pipe()
os.set_blocking(woken, False)
signal.set_wakeup_fd(woken)
size = int(sys.argv[1]) << 20
memory = bytearray(os.urandom(4096)) * (size // 4096)
child = os.fork()
for at in range(0, size, 4096):
    memory[at] = 1 + (child == 0)
if child:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    print("ready", os.getpid(), child, flush=True)
while sys.argv[2:] == ["busy"]:
    for at in range(0, size, 4096):
        memory[at] = memory[at] % 251 + 1
os.read(wake, 1)
