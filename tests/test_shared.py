#!/usr/bin/python3
"""Shared memory end to end: the bound by the host's accounting, processes killed in the middle of
it, nothing left of it, SQLite in WAL mode, Python's multiprocessing.

Usage: test_shared.py ASHLAR SHARED_WORK [--drop] [test...]
"""
import os
import subprocess
import sys

from racks import (PYTHON, SH, await_true, check, finish, main, memory_is_free, up)
from resident import descendants, resident

WORK = os.path.abspath(sys.argv.pop(2))
CACHE = 4 << 20


def started(t, *args, cache="4M"):
    p = t.popen("run", "--excache", cache, "--", WORK, *args, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True)
    line = p.stdout.readline()
    check(line == "held\n", "not begun:", repr(line), p.poll())
    return p


def test_bound(t):
    """A working set of four times the ExCache, in every process: each stays within the bound."""
    up(t)
    p = started(t, "count", "16", "3")
    most = seen = 0
    while p.poll() is None:
        for pid in descendants(p.pid):
            try:
                inside, _ = resident(pid)
            except (FileNotFoundError, ProcessLookupError):
                continue
            most = max(most, inside)
            seen += 1
    check(finish(p) == 0 and p.out == "120 counted, 0 wrong, 0 ended badly\n", p.out, p.err)
    check(seen and most <= CACHE, "resident in the window:", most, "of", CACHE)
    memory_is_free(t)
    t.call("down")


def test_killed_participants(t):
    up(t)
    for seed in ("1", "2"):
        p = t.call("run", "--excache", "4M", "--", WORK, "kill", "6", seed, timeout=60)
        check(p.out == "0 wrong, ended with 0\n", p.out, p.err)
    memory_is_free(t)
    t.call("down")


def test_killed_run(t):
    """The command, then a program that shares with its child, then the node: nothing stays."""
    up(t)
    p = started(t, "hold", "8")
    p.kill()
    finish(p)
    await_true(lambda: not any(c["used_bytes"] for c in t.components().values()
                               if c["kind"] == "memory"), "freed", 6)
    p = started(t, "hold", "8")
    t.kill(descendants(p.pid)[0])
    finish(p)
    memory_is_free(t)
    p = started(t, "hold", "8")
    node = next(c["pid"] for c in t.components().values() if c["kind"] == "process")
    t.kill(node)
    check(finish(p) != 0, "a run without its node ends")
    await_true(lambda: not any(c["used_bytes"] for c in t.components().values()
                               if c["kind"] == "memory"), "freed", 8)
    t.call("down")


def test_file_is_written_back(t):
    up(t)
    p = started(t, "hold", "8")
    t.kill(descendants(p.pid)[0])
    finish(p)
    with open(os.path.join(t.work, "held"), "rb") as f:
        data = f.read()
    check(len(data) == 8 << 20, "its size:", len(data))
    wrong = [i for i in range(0, len(data), 4096)
             if int.from_bytes(data[i:i + 8], "little") != i // 8]
    check(not wrong, "pages not written back:", len(wrong))
    t.call("down")


def test_sqlite_wal(t):
    up(t)
    script = """
        sqlite3 w.db 'pragma journal_mode=wal; create table t(a integer);'
        put() { for i in $(seq 8); do sqlite3 -cmd '.timeout 20000' w.db "insert into t values($1)"; done; }
        put 1 & put 100 & wait
        sqlite3 w.db 'select count(*), sum(a) from t; pragma integrity_check;'"""
    p = t.call("run", "--excache", "8M", "--", SH, "-c", script, timeout=60)
    check(p.out == "wal\n16|808\nok\n", p.out, p.err)
    t.call("down")


def test_multiprocessing(t):
    up(t)
    script = """
import multiprocessing as mp
from multiprocessing import shared_memory
def square(x): return x * x
def work(value, array, lock):
    for i in range(100):
        with lock: value.value += 1
        array[i % 10] = i
def store(name):
    m = shared_memory.SharedMemory(name); m.buf[0] = 42; m.close()
with mp.Pool(2) as pool: print(sum(pool.map(square, range(50))))
value, array, lock = mp.Value('i', 0), mp.Array('i', 10), mp.Lock()
them = [mp.Process(target=work, args=(value, array, lock)) for _ in range(2)]
for p in them: p.start()
for p in them: p.join()
print(value.value, sum(array))
m = shared_memory.SharedMemory(create=True, size=100000)
p = mp.Process(target=store, args=(m.name,)); p.start(); p.join()
print(m.buf[0]); m.close(); m.unlink()
with mp.Manager() as manager:
    d = manager.dict(); d['a'] = 1; print(dict(d))
"""
    p = t.call("run", "--excache", "16M", "--", PYTHON, "-c", script, timeout=90)
    check(p.out == "40425\n200 945\n42\n{'a': 1}\n", p.out, p.err)
    memory_is_free(t)
    t.call("down")


MAPS = """
import mmap, sys
with open('mapped', 'r+b') as f:
    try:
        m = mmap.mmap(f.fileno(), 0)
    except OSError as error:
        print(error.strerror, flush=True)
        sys.exit()
print(m[:3].decode(), flush=True)
m[:3] = sys.argv[1].encode()
for line in sys.stdin:
    m.flush()
    print('flushed', flush=True)
"""


def mapping(t, word):
    """A run that maps the file, and what it says of that."""
    p = t.popen("run", "--", PYTHON, "-c", MAPS, word, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, text=True)
    return p, p.stdout.readline()


def one_is_refused(t):
    """A run goes to the pComponent that has fewer, so one of a few is not where the first one is."""
    others = []
    for _ in range(6):
        p, said = mapping(t, "new")
        if said == "No such device\n":
            break
        others.append(p)
    check(said == "No such device\n", "mapped on two pComponents:", said)
    check(p.wait(20) == 0)
    for p in others:
        check(p.communicate("")[0] == "" and p.returncode == 0)


def test_one_pcomponent_at_a_time(t):
    """A file that is mapped shared on one pComponent cannot be on another: mmap says so."""
    up(t, "--process", "2")
    with open(f"{t.work}/mapped", "w") as f:
        f.write("old" * 2000)
    first, said = mapping(t, "new")
    check(said == "old\n", "said", said)
    one_is_refused(t)
    t.kill(next(c["pid"] for c in t.components().values() if c["kind"] == "storage"))
    t.call("up", code=None)
    t.await_healthy()
    first.stdin.write("\n")
    first.stdin.flush()
    check(first.stdout.readline() == "flushed\n")
    one_is_refused(t)
    check(first.communicate("")[0] == "" and first.returncode == 0)
    with open(f"{t.work}/mapped") as f:
        check(f.read(6) == "newold", "what was mapped is not in the file")
    second, said = mapping(t, "two")
    check(said == "new\n", "said", said)
    check(second.communicate("")[0] == "" and second.returncode == 0)
    t.call("down")


if __name__ == "__main__":
    main(dict(globals()), sys.argv)
