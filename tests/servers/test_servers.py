#!/usr/bin/python3
"""Real servers in an ExCache of about a quarter of their working set, with clients outside and
inside, their answers checked.

usage: test_servers.py ASHLAR [--drop] [--soak] [CASE...]

A server is asked to end as its operator would do it; after that no process, no file of the rack's
and no memory at an mComponent is left. --soak: minutes of load, and sets eight times as large.
"""
import os
import re
import signal
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from racks import (PYTHON, Failure, await_end, await_true, check, children, main,  # noqa: E402
                   memory_is_free)
sys.path.insert(0, HERE)
from client import Redis, made  # noqa: E402

SOAK = False
CLIENT = os.path.join(HERE, "client.py")


def scaled(quick, soak):
    return soak if SOAK else quick


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A server inside, in the test's directory, with its output in a file."""

    def __init__(self, t, port, excache, *argv):
        self.t, self.port = t, port
        self.log = os.path.join(t.work, f"{os.path.basename(argv[0])}.log")
        with open(self.log, "ab") as log:
            self.p = t.popen("run", "--excache", excache, "--stats", f"{t.work}/stats", "--", *argv,
                             stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        await_true(self.answers, f"{argv[0]} at its port", 60)

    def answers(self):
        check(self.p.poll() is None, "the server ended:", self.said())
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
            return True
        except ConnectionRefusedError:
            return False

    def said(self):
        with open(self.log, errors="replace") as f:
            return f.read()[-3000:]

    def ended(self, code=0, seconds=60):
        try:
            check(self.p.wait(seconds) == code, f"exit code {self.p.returncode}:", self.said())
        except subprocess.TimeoutExpired:
            raise Failure(f"the server did not end in {seconds} s:", self.said())
        with open(f"{self.t.work}/stats") as f:
            stats = f.read()
        evicted = int(re.search(r'"evictions": (\d+)', stats)[1])
        misses = int(re.search(r'"misses": (\d+)', stats)[1])
        print(f"  {misses} misses, {evicted} evictions", flush=True)
        check(evicted > 0, "nothing was evicted:", stats)
        memory_is_free(self.t)


def client(t, inside, *argv, timeout=None):
    """Runs a client to its end; its output."""
    if inside:
        argv = [t.ashlar, "run", "--excache", "12M", "--", *argv]
    done = subprocess.run([str(a) for a in argv], env=t.env, cwd=t.work, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=timeout or scaled(120, 1200))
    check(done.returncode == 0, *argv, f"code {done.returncode}:", done.stdout[-2000:],
          done.stderr[-2000:])
    return done.stdout


def background(t, inside, *argv):
    if inside:
        argv = [t.ashlar, "run", "--excache", "12M", "--", *argv]
    return subprocess.Popen([str(a) for a in argv], env=t.env, cwd=t.work, text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT)


def succeeded(p, timeout=None):
    out, _ = p.communicate(timeout=timeout or scaled(120, 1200))
    check(p.returncode == 0, p.args, f"code {p.returncode}:", out[-2000:])


def up(t):
    t.call("up", "--memory", "2", "--memory-size", "2G")


# ---- redis ----

def benchmark(t, port, inside, count):
    """redis-benchmark ends by itself only where each request was answered."""
    said = client(t, inside, "redis-benchmark", "-p", port, "-n", count, "-c", 20, "-d", 200, "-r",
                  10000, "-t", "set,get,incr,lpush,lpop,sadd,hset,zadd", "--csv")
    rates = re.findall(r'^"(\w+)[^"]*","([\d.]+)"', said, re.M)
    check(len(rates) == 8, "redis-benchmark said", said)
    print("  redis-benchmark", "inside:" if inside else "outside:",
          " ".join(f"{name} {float(rate):.0f}" for name, rate in rates), flush=True)


def test_redis(t):
    count = scaled(20000, 400000)
    excache = scaled("9M", "150M")
    up(t)
    port = free_port()
    argv = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", ".",
            "--loglevel", "warning"]
    server = Server(t, port, excache, *argv)
    print(" ", client(t, False, PYTHON, CLIENT, "redis", port, "both", count).strip(), flush=True)
    # A snapshot by a forked child, while others go on writing.
    asked = Redis(port)
    for snapshot in range(scaled(1, 10)):
        writer = background(t, False, PYTHON, CLIENT, "redis", port, "both", count // 4,
                            f"new {snapshot}", 1000000)
        asked.send((b"BGSAVE",))
        check(asked.answer().startswith(b"+Background saving started"))

        def saved():
            asked.send((b"INFO", b"persistence"))
            return b"rdb_bgsave_in_progress:0" in (info := asked.answer()) and info

        info = await_true(saved, "the snapshot", scaled(100, 600))
        check(b"rdb_last_bgsave_status:ok" in info, info, server.said())
        succeeded(writer)
    client(t, True, PYTHON, CLIENT, "redis", port, "check", count)
    for inside in (False, True):
        benchmark(t, port, inside, scaled(500, 100000))
    client(t, False, PYTHON, CLIENT, "redis", port, "check", count)
    asked.send((b"SHUTDOWN", b"SAVE"))
    server.ended()
    # From its file.
    server = Server(t, port, excache, *argv)

    def loaded():
        asked = Redis(port)
        asked.send((b"GET", b"key:7"))
        return asked.answer() == made("1", 7)

    await_true(loaded, "the data from the file", 100)
    client(t, False, PYTHON, CLIENT, "redis", port, "check", count)
    client(t, False, PYTHON, CLIENT, "redis", port, "check", count // 4,
           f"new {scaled(1, 10) - 1}", 1000000)
    server.p.send_signal(signal.SIGTERM)
    server.ended()
    t.call("down")


# ---- memcached ----

def test_memcached(t):
    count = scaled(20000, 300000)
    up(t)
    port = free_port()
    server = Server(t, port, scaled("8M", "120M"), "memcached", "-l", "127.0.0.1", "-p", str(port),
                    "-m", scaled("128", "1024"), "-t", "4")
    until = time.monotonic() + scaled(0, 180)
    while True:
        client(t, False, PYTHON, CLIENT, "memcached", port, "load", count)
        both = [background(t, inside, PYTHON, CLIENT, "memcached", port, what, share, *rest)
                for inside, what, share, *rest in ((False, "check", count),
                                                   (True, "both", count // 6, "other", 5000000))]
        for p in both:
            succeeded(p)
        if time.monotonic() >= until:
            break
    server.p.send_signal(signal.SIGTERM)
    server.ended()
    t.call("down")


# ---- nginx ----

NGINX = """
daemon off;
worker_processes 2;
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    access_log access.log;
    client_body_temp_path temporary; proxy_temp_path temporary; fastcgi_temp_path temporary;
    uwsgi_temp_path temporary; scgi_temp_path temporary;
    sendfile on;
    gzip on; gzip_min_length 0; gzip_types *;
    limit_req_zone $binary_remote_addr zone=all:1m rate=100000r/s;
    server {{
        listen 127.0.0.1:{port};
        root files;
        location / {{ limit_req zone=all burst=1000; }}
        location /passed/ {{ proxy_pass http://127.0.0.1:{port}/; }}
    }}
}}
"""


def test_nginx(t):
    files = 100
    up(t)
    port = free_port()
    os.mkdir(f"{t.work}/files")
    for n in range(files):
        with open(f"{t.work}/files/f{n}", "wb") as f:
            f.write(made("1", n) * 50)
    with open(f"{t.work}/nginx.conf", "w") as f:
        f.write(NGINX.format(port=port))
    server = Server(t, port, "4M", "/usr/sbin/nginx", "-p", t.work, "-c", f"{t.work}/nginx.conf",
                    "-e", "stderr")
    for inside in (False, True):
        client(t, inside, PYTHON, CLIENT, "http", port, "check", files)
    with open(f"{t.work}/nginx.pid") as f:
        master = int(f.read())
    requests = scaled(400, 200000)
    for path, inside, keep in (("f1", False, ["-k"]), ("passed/f2", False, []), ("f3", True, ["-k"])):
        load = background(t, inside, "ab", "-q", "-c", 16, "-n", requests, *keep, "-H",
                          "Accept-Encoding: gzip", f"http://127.0.0.1:{port}/{path}")
        workers = [] if keep else children(master)
        if not keep:
            os.kill(master, signal.SIGHUP)  # new workers, while the old ones end what they have begun
        said, _ = load.communicate(timeout=scaled(120, 1200))
        check(load.returncode == 0 and re.search(rf"Complete requests: +{requests}\n", said) and
              re.search(r"Failed requests: +0\n", said) and "Non-2xx" not in said, said)
        await_end(workers, 20)  # who keeps connections open would be reset by them
        print(f"  {path}:", re.search(r"Requests per second: +(\S+)", said)[1], "a second", flush=True)
    for inside in (False, True):
        client(t, inside, PYTHON, CLIENT, "http", port, "check", files)
    os.kill(master, signal.SIGQUIT)
    server.ended()
    t.call("down")


# ---- PostgreSQL ----

def postgres_programs():
    versions = sorted(os.listdir("/usr/lib/postgresql"), key=int)
    check(versions, "no PostgreSQL")
    return f"/usr/lib/postgresql/{versions[-1]}/bin"


def test_postgres(t):
    """Its cluster is made inside; accounts, tellers and branches must add up after every run."""
    scale, seconds = scaled(1, 20), scaled(2, 180)
    excache = scaled("12M", "32M")
    programs = postgres_programs()
    up(t)
    t.env["PGHOST"] = t.work
    client(t, True, f"{programs}/initdb", "-D", "data", "-U", "postgres", "-A", "trust",
           "--no-instructions", "--locale=C.UTF-8")
    with open(f"{t.work}/data/postgresql.conf", "a") as f:
        f.write(f"listen_addresses = '127.0.0.1'\nunix_socket_directories = '{t.work}'\n"
                f"shared_buffers = {scaled(4, 64)}MB\ncheckpoint_timeout = 30s\n"
                "max_parallel_workers_per_gather = 2\nmin_parallel_table_scan_size = 0\n"
                "parallel_setup_cost = 0\n")
    port = free_port()
    argv = [f"{programs}/postgres", "-D", "data", "-p", str(port)]
    url = f"postgresql://postgres@127.0.0.1:{port}/postgres"

    def ask(inside, question):
        return client(t, inside, "/usr/bin/psql", "-X", "-A", "-t", "-c", question, url).strip()

    def adds_up():
        sums = ask(False, "select (select sum(abalance) from pgbench_accounts), "
                   "(select sum(tbalance) from pgbench_tellers), "
                   "(select sum(bbalance) from pgbench_branches), "
                   "(select sum(delta) from pgbench_history)").split("|")
        check(len(set(sums)) == 1 and sums[0], "the sums differ:", sums)
        return ask(True, "select count(*) from pgbench_history")

    server = Server(t, port, excache, *argv)
    await_true(lambda: subprocess.run([f"{programs}/pg_isready", "-q", "-d", url]).returncode == 0,
               "PostgreSQL ready", 60)
    client(t, False, f"{programs}/pgbench", "-i", "-q", "-s", scale, url)
    for inside in (False, True):
        said = client(t, inside, f"{programs}/pgbench", "-n", "-c", 4, "-j", 2, "-T", seconds, url)
        check(re.search(r"failed transactions: 0 ", said), said)
        print("  pgbench", "inside:" if inside else "outside:", re.search(r"tps = (\S+)", said)[1],
              "a second", flush=True)
    done = adds_up()
    check(ask(False, "select count(*) from pgbench_accounts") == str(100000 * scale))
    server.p.send_signal(signal.SIGINT)  # its fast shutdown
    server.ended()
    server = Server(t, port, excache, *argv)
    await_true(lambda: subprocess.run([f"{programs}/pg_isready", "-q", "-d", url]).returncode == 0,
               "PostgreSQL ready", 60)
    check(adds_up() == done, "transactions are gone")
    server.p.send_signal(signal.SIGINT)
    server.ended()
    t.call("down")


if __name__ == "__main__":
    if "--soak" in sys.argv:
        SOAK = True
        sys.argv.remove("--soak")
    os.environ["PATH"] = "/usr/bin:/bin:/usr/sbin:/sbin"
    main(dict(globals()), sys.argv)
