#!/usr/bin/python3
"""Real programs in an ExCache much smaller than what they need: their answers, and the bound.

usage: test_pressure.py ASHLAR HAMMER [--drop] [--soak] [CASE...]

Every case runs natively once and then on a rack, with both policies and with and without
UFFDIO_MOVE: one half of the cases with the one pair that has all of these, the other half with the
other one; --soak: each case with both pairs. Output, messages and exit code must be the native ones. All the while the host's
accounting is watched (resident.py): what a process has resident of its program must fit its
ExCache, and ashlar-exec's own memory its allowance. After each run the mComponents hold nothing.
"""
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from racks import Failure, check, main, memory_is_free  # noqa: E402
from resident import OWN_BYTES, OWN_SHARE, Sampler  # noqa: E402

EXCACHE = 16 << 20
TIMEOUT = 300  # s, for one run
ROWS = 120000  # of what the awks and busybox read
PAIR, OTHER_PAIR = [("lru", True), ("fifo", False)], [("lru", False), ("fifo", True)]
HAMMER, SOAK = None, False

PLAIN = {"LC_ALL": "C", "PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "0", "PERL_HASH_SEED": "0",
         "HOME": "/nonexistent"}


# ---- what they read ----

def random_lines(path, total, length):
    """Lines in no order that do not compress well."""
    digits = random.Random(1).randbytes(total // 2).hex()
    with open(path, "w") as f:
        for at in range(0, len(digits), length - 1):
            f.write(digits[at:at + length - 1] + "\n")


def text(path, total):
    """Something like text: words of a small vocabulary."""
    chance = random.Random(2)
    words = [chance.randbytes(chance.randint(1, 5)).hex() for _ in range(2000)]
    with open(path, "w") as f:
        while f.tell() < total:
            f.write("\n".join(" ".join(chance.choices(words, k=12)) for _ in range(1000)) + "\n")


def columns(path, rows):
    with open(path, "w") as f:
        for n in range(rows):
            f.write(f"{n} {n * n} key{n * 7919 % 30000} some further words of the line\n")


# ---- running ----

class Result:
    """What a command gave: digest and head of its output, messages, exit code, time, peak."""

    def __init__(self, argv, env, cwd, watch=None, timeout=TIMEOUT):
        began = time.monotonic()
        p = subprocess.Popen(argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.sampler = watch and watch(p.pid)
        stderr = []
        reader = threading.Thread(target=lambda: stderr.append(p.stderr.read()))
        reader.start()
        killer = threading.Timer(timeout, p.kill)
        killer.daemon = True
        killer.start()
        digest, self.head, self.size = hashlib.sha256(), b"", 0
        while piece := p.stdout.read(1 << 16):
            digest.update(piece)
            self.size += len(piece)
            self.head = (self.head + piece)[:500]
        reader.join()
        _, status, usage = os.wait4(p.pid, 0)
        self.late = not killer.is_alive()
        killer.cancel()
        p.returncode = self.code = os.waitstatus_to_exitcode(status)
        self.seconds = time.monotonic() - began
        self.digest, self.stderr = digest.hexdigest(), stderr[0]
        self.peak = usage.ru_maxrss << 10
        if self.sampler:
            self.sampler.join()

    def same_as(self, native):
        check(self.code == native.code, f"exit code {self.code}, not {native.code};", self.shown())
        check(self.stderr == native.stderr, "other messages;", self.shown())
        check((self.digest, self.size) == (native.digest, native.size),
              f"other output, natively {native.size} bytes {native.head!r};", self.shown())

    def shown(self):
        return (f"output {self.size} bytes {self.head!r}, stderr {self.stderr[-1500:]!r} "
                f"({self.seconds:.1f} s)")


def run_once(t, argv, native, policy, move):
    stats_path = os.path.join(t.runtime, "stats.json")
    options = ["--excache", str(EXCACHE), "--policy", policy, "--stats", stats_path]
    if not move:
        options.append("--no-move")
    env = {**PLAIN, "XDG_RUNTIME_DIR": t.runtime}
    result = Result([t.ashlar, "run", "--replicas", "1", *options, "--", *argv], env, t.work, watch=Sampler)
    check(not result.late, f"killed after {TIMEOUT} s;", result.shown())
    with open(stats_path) as f:
        stats = json.load(f)
    os.remove(stats_path)
    seen = result.sampler
    own_limit = OWN_BYTES + int(native.peak * OWN_SHARE)
    print(f"  {policy} {'move' if move else 'copy'}: {result.seconds:.1f} s, natively "
          f"{native.seconds:.1f} s and {native.peak >> 20} MiB; {stats['misses']} misses, "
          f"{stats['lines_fetched']} fetched, {stats['lines_written_back']} written back; "
          f"resident at most {seen.inside >> 10} KiB + own {seen.outside >> 10} KiB "
          f"({seen.samples} samples), peak {stats['peak_resident_bytes'] >> 10} KiB", flush=True)
    result.same_as(native)
    check(seen.samples > 0, "the host's accounting was never seen")
    check(seen.inside <= EXCACHE, f"{seen.inside} bytes of the program resident, over {EXCACHE}")
    check(seen.outside <= own_limit, f"ashlar-exec's own memory {seen.outside}, over {own_limit}")
    check(stats["excache_bytes"] == EXCACHE, "excache_bytes", stats["excache_bytes"])
    check(0 < stats["peak_resident_bytes"] <= EXCACHE + own_limit, "peak_resident_bytes",
          stats["peak_resident_bytes"])
    if native.peak > 3 * EXCACHE:
        check(stats["evictions"] > 0 and stats["lines_written_back"] > 0 and
              stats["lines_fetched"] > 0, "no line ever left:", stats)
        check(seen.inside > EXCACHE // 2, f"the ExCache is not used: {seen.inside} bytes")
    memory_is_free(t)


def pressure(t, argv, pair=PAIR):
    native = Result(argv, PLAIN, t.work)
    check(native.code == 0, "natively:", native.shown())
    t.call("up", "--memory", "2", "--memory-size", "1G")
    failures = []
    for policy, move in PAIR + OTHER_PAIR if SOAK else pair:
        try:
            run_once(t, argv, native, policy, move)
        except (Failure, OSError, ValueError) as failure:
            failures.append(f"{policy}, {'move' if move else 'copy'}: {failure}")
            t.call("up", code=None)
    if failures:
        raise Failure("\n  ".join(["", *failures]))
    t.call("down")


# ---- the cases ----

def test_python(t):
    pressure(t, ["/usr/bin/python3", f"{HERE}/objects.py", "256"])


def test_sqlite(t):
    pressure(t, ["/usr/bin/sqlite3", "-batch", ":memory:", f".read {HERE}/rows.sql"],
             OTHER_PAIR)


def test_sort(t):
    random_lines(f"{t.work}/lines", (200 if SOAK else 64) << 20, 1000)
    pressure(t, ["/usr/bin/sort", "--parallel=2", "lines"])


def test_gzip(t):
    text(f"{t.work}/text", 48 << 20)
    pressure(t, ["/bin/sh", "-c", "gzip -c text | gunzip | cmp - text && gzip -nc text | wc -c"],
             OTHER_PAIR)


def test_perl(t):
    pressure(t, ["/usr/bin/perl", f"{HERE}/table.pl", "80000"], OTHER_PAIR)


def test_gawk(t):
    columns(f"{t.work}/columns", ROWS)
    pressure(t, ["/usr/bin/gawk", "-f", f"{HERE}/columns.awk", "columns"])


def test_mawk(t):
    columns(f"{t.work}/columns", ROWS)
    pressure(t, ["/usr/bin/mawk", "-f", f"{HERE}/columns.awk", "columns"], OTHER_PAIR)


def test_busybox(t):
    """A static program, all of whose pieces are itself."""
    columns(f"{t.work}/columns", ROWS)
    script = ("busybox sort -k3 columns | busybox tee sorted | busybox md5sum; "
              "busybox gzip -c sorted | busybox gunzip -c | busybox sha256sum; "
              "busybox awk -f %s/columns.awk columns; busybox rm sorted" % HERE)
    pressure(t, ["/bin/busybox", "sh", "-c", script])


def test_xz(t):
    text(f"{t.work}/text", 24 << 20)
    pressure(t, ["/bin/sh", "-c", "xz -T2 -0 --block-size=4MiB -c text >text.xz && "
                 "xz -T2 -dc text.xz | cmp - text && sha256sum text.xz && rm text.xz"])


def test_hammer(t):
    pressure(t, [HAMMER, "8", "16384", "20000" if SOAK else "10000"], PAIR + OTHER_PAIR)


if __name__ == "__main__":
    HAMMER = os.path.abspath(sys.argv.pop(2))
    if "--soak" in sys.argv:
        SOAK = True
        sys.argv.remove("--soak")
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    main(dict(globals()), sys.argv)
