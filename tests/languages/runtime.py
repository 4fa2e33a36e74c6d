"""Python: threads, asyncio with child processes and sockets, multiprocessing over pipes and shared
memory, ctypes with callbacks, sqlite3 on a file in both journals, mmap, signals, a heap."""
import asyncio
import ctypes
import gc
import hashlib
import mmap
import multiprocessing
import multiprocessing.shared_memory
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time


def threads():
    total, lock, ready = [0], threading.Lock(), threading.Barrier(16)

    def work(n):
        ready.wait()
        for i in range(2000):
            with lock:
                total[0] += i * n

    all_of_them = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in all_of_them:
        thread.start()
    for thread in all_of_them:
        thread.join()
    print("threads", total[0])


async def loops():
    async def echo(reader, writer):
        while data := await reader.read(10000):
            writer.write(data.upper())
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    async def client(n):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        data = f"client {n} ".encode() * (n * 300)
        writer.write(data)
        writer.write_eof()
        assert await reader.read() == data.upper()
        writer.close()
        return len(data)

    async def child(n):
        p = await asyncio.create_subprocess_exec("/bin/sh", "-c", f"cat; exit {n}", stdin=-1, stdout=-1)
        out, _ = await p.communicate(b"x" * n)
        return len(out), p.returncode

    print("clients", sum(await asyncio.gather(*(client(n) for n in range(30)))))
    print("children", await asyncio.gather(*(child(n) for n in range(5))))
    server.close()
    try:
        await asyncio.wait_for(asyncio.sleep(10), 0.05)
    except asyncio.TimeoutError:
        print("timeout")


def square(n):
    return n * n


def fill(name, counter, queue):
    block = multiprocessing.shared_memory.SharedMemory(name)
    for n in range(1000):
        with counter.get_lock():
            counter.value += 1
    block.buf[counter.value % 16] = 1
    queue.put(os.getpid() == multiprocessing.current_process().pid)
    block.close()


def processes():
    for method in ("fork", "spawn"):
        context = multiprocessing.get_context(method)
        with context.Pool(3) as pool:
            print(method, sum(pool.map(square, range(500), chunksize=7)))
        block = multiprocessing.shared_memory.SharedMemory(create=True, size=100000)
        block.buf[:] = bytes(len(block.buf))
        counter, queue = context.Value("q"), context.Queue()
        running = [context.Process(target=fill, args=(block.name, counter, queue)) for _ in range(3)]
        for p in running:
            p.start()
        said = [queue.get() for _ in running]
        for p in running:
            p.join()
        print(method, counter.value, all(said), sum(block.buf[:16]) > 0, [p.exitcode for p in running])
        block.close()
        block.unlink()


def foreign():
    libc = ctypes.CDLL("libc.so.6")
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
    numbers = (ctypes.c_int * 5000)(*random.Random(3).sample(range(100000), 5000))
    libc.qsort(numbers, len(numbers), ctypes.sizeof(ctypes.c_int), compare(lambda a, b: a[0] - b[0]))
    print("qsort", list(numbers) == sorted(numbers), libc.getpid() == os.getpid())


def databases(directory):
    for journal in ("delete", "wal"):
        path = os.path.join(directory, f"{journal}.db")
        database = sqlite3.connect(path)
        print(database.execute(f"pragma journal_mode={journal}").fetchall())
        database.execute("create table t (a integer primary key, b text)")
        for start in range(0, 3000, 1000):
            with database:
                database.executemany("insert into t values (?, ?)",
                                     ((n, f"row {n}" * 9) for n in range(start, start + 1000)))
        other = sqlite3.connect(path)
        print(other.execute("select count(*), sum(length(b)) from t").fetchall(),
              other.execute("pragma integrity_check").fetchall())
        database.close()
        other.close()


def mapped(directory):
    path = os.path.join(directory, "mapped")
    with open(path, "w+b") as f:
        f.truncate(1 << 20)
        with mmap.mmap(f.fileno(), 1 << 20) as shared:
            for at in range(0, 1 << 20, 4096):
                shared[at:at + 4] = at.to_bytes(4, "little")
            shared.flush()
            child = os.fork()
            if child == 0:
                shared[4:8] = b"kid!"
                os._exit(0)
            os.waitpid(child, 0)
            print("shared", shared[4:8])
        f.seek(0)
        print("file", hashlib.sha256(f.read()).hexdigest())


def signals():
    seen = []
    signal.signal(signal.SIGALRM, lambda number, frame: seen.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    until = time.monotonic() + 20
    while len(seen) < 10 and time.monotonic() < until:
        sum(range(1000))
    signal.setitimer(signal.ITIMER_REAL, 0)
    print("signals", set(seen))


def heap(megabytes):
    kept = [bytes([n % 256]) * 1000 for n in range(megabytes * 1000)]
    rings = []
    for n in range(20000):
        ring = [n]
        ring.append(ring)
        rings.append(ring)
    del ring, rings
    gc.collect()
    print("heap", hashlib.sha256(b"".join(kept)).hexdigest())


def main():
    threads()
    asyncio.run(loops())
    foreign()
    with tempfile.TemporaryDirectory(dir=".") as directory:
        databases(directory)
        mapped(directory)
    processes()
    print(subprocess.run(["/bin/sh", "-c", "echo $0; kill -9 $$"], capture_output=True))
    signals()
    heap(int(sys.argv[1]) if len(sys.argv) > 1 else 40)


if __name__ == "__main__":
    main()
