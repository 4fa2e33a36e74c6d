"""Reads a file whenever it is told to, and says what came of it. usage: reader.py FILE

For each line of its input: reads the file's first bytes, stats it and opens it anew, and prints
what each gave (the bytes, or the errno's name) and how many milliseconds it took.
"""
import errno
import os
import sys
import time

fd = os.open(sys.argv[1], os.O_RDONLY)


def tried(call):
    try:
        return call()
    except OSError as error:
        return errno.errorcode[error.errno]


print("ready", flush=True)
for line in iter(sys.stdin.readline, ""):
    began = time.monotonic()
    words = line.split()
    if "read" in words:
        result = tried(lambda: os.pread(fd, 5, 0).decode())
    elif "stat" in words:
        result = tried(lambda: os.stat(sys.argv[1]).st_size)
    else:
        result = tried(lambda: os.close(os.open(sys.argv[1], os.O_RDONLY)) or "opened")
    print(result, int((time.monotonic() - began) * 1000), flush=True)
