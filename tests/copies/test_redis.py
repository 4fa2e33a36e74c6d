#!/usr/bin/python3
"""redis-server with a set of data under load from outside, in a quarter of it, while mComponents are
killed and frozen at random moments.

usage: test_redis.py ASHLAR MEBIBYTES LOSSES [--drop]

All the while redis-benchmark asks, one client looks at every key, and another one stores some anew
and reads them back. At the end every key is looked at once more.
"""
import os
import random
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("..", "../servers"):
    sys.path.insert(0, os.path.join(HERE, folder))
from racks import PYTHON, await_true, check, main, memories  # noqa: E402
from test_servers import CLIENT, Server, background, client, free_port  # noqa: E402

MEBIBYTES, LOSSES = (int(sys.argv.pop(2)) for _ in range(2))
SEED = int(os.environ.get("ASHLAR_SEED", "1"))
MEMORIES = 4
VALUE_BYTES = 1000  # as client.py makes them
COUNT = (MEBIBYTES << 20) // VALUE_BYTES
CHANGED = max(COUNT // 20, 50)
TIMEOUT_S = 3600
DOWN_S, COPIED_S = 3, 900


class Client:
    """client.py, over and over."""

    def __init__(self, t, port, work):
        self.t, self.port, self.work, self.rounds = t, port, work, 0
        self.begin()

    def begin(self):
        self.p = background(self.t, False, PYTHON, CLIENT, "redis", self.port, *self.work(self.rounds))

    def look(self):
        """Fails where an answer was wrong."""
        if self.p.poll() is not None:
            self.end()
            self.begin()

    def end(self):
        out, _ = self.p.communicate(timeout=TIMEOUT_S)
        check(self.p.returncode == 0, self.work(self.rounds), "code", self.p.returncode, out)
        self.rounds += 1


def anew(n):
    return "both", CHANGED, f"new {n}", 10 * COUNT


def one_loss(t, chance):
    name, number = chance.choice(sorted(memories(t))), chance.choice([signal.SIGKILL, signal.SIGSTOP])
    pid = memories(t)[name]["pid"]
    t.kill(pid, number)
    await_true(lambda: memories(t)[name]["state"] == "down", name + " is down", DOWN_S)
    if number == signal.SIGSTOP:
        os.kill(pid, signal.SIGCONT)
    else:
        t.call("up")
    await_true(lambda: all(c["state"] == "up" for c in memories(t).values()), "all are up", 10)
    await_true(lambda: not any(c["single"] for c in memories(t).values()), "two copies", COPIED_S)


def test_redis_through_losses(t):
    chance, port = random.Random(SEED), free_port()
    t.call("up", "--memory", str(MEMORIES), "--memory-size", f"{max(MEBIBYTES * 2, 256)}M")
    server = Server(t, port, f"{max(MEBIBYTES // 4, 8)}M", "redis-server", "--port", str(port), "--bind",
                    "127.0.0.1", "--save", "", "--dir", ".", "--loglevel", "warning")
    began = time.monotonic()
    client(t, False, PYTHON, CLIENT, "redis", port, "load", COUNT, timeout=TIMEOUT_S)
    print(f"  seed {SEED}: {COUNT} values stored in {time.monotonic() - began:.0f} s", flush=True)
    load = subprocess.Popen(["redis-benchmark", "-p", str(port), "-l", "-q", "-c", "20", "-d", "200",
                             "-n", "20000", "-r", "10000", "-t",
                             "set,get,incr,lpush,lpop,sadd,hset,zadd"], stdout=subprocess.DEVNULL)
    try:
        looker, changer = Client(t, port, lambda n: ("check", COUNT)), Client(t, port, anew)
        for n in range(LOSSES):
            until = time.monotonic() + chance.uniform(0, 3)
            while time.monotonic() < until:
                for c in (looker, changer):
                    c.look()
                check(load.poll() is None, "redis-benchmark ended:", load.poll(), server.said())
                check(server.p.poll() is None, "the server ended:", server.said())
                time.sleep(0.05)
            one_loss(t, chance)
            if (n + 1) % 10 == 0:
                print(f"  {n + 1} losses, {time.monotonic() - began:.0f} s; {looker.rounds} times all keys, "
                      f"{changer.rounds} times some anew", flush=True)
        for c in (looker, changer):
            c.end()
        check(load.poll() is None, "redis-benchmark ended:", load.poll(), server.said())
    finally:
        load.kill()
        load.wait()
    client(t, False, PYTHON, CLIENT, "redis", port, "check", COUNT, timeout=TIMEOUT_S)
    client(t, False, PYTHON, CLIENT, "redis", port, "check", *anew(changer.rounds - 1)[1:], timeout=TIMEOUT_S)
    print(f"  {LOSSES} losses, {time.monotonic() - began:.0f} s; {looker.rounds} times all keys, "
          f"{changer.rounds} times some anew", flush=True)
    subprocess.run(["redis-cli", "-p", str(port), "shutdown", "nosave"], check=False)
    server.ended(seconds=300)
    t.call("down")


if __name__ == "__main__":
    os.environ["PATH"] = "/usr/bin:/bin:/usr/sbin:/sbin"
    main(dict(globals()), sys.argv)
