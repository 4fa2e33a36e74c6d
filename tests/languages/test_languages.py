#!/usr/bin/python3
"""Languages that bring their own runtime, in an ExCache much smaller than what they need.

usage: test_languages.py ASHLAR [--drop] [--soak] [CASE...]

Each program is made natively, runs natively, and then on a rack: output, messages and exit code
must be the same. --soak: with both policies and both ways of eviction, and with several times the
work.
"""
import itertools
import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from racks import PYTHON, check, main, memory_is_free  # noqa: E402

SOAK = False
MATRIX = list(itertools.product(("lru", "fifo"), ((), ("--no-move",))))


def run(t, argv, timeout):
    env = {"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin", "HOME": t.work, "PYTHONHASHSEED": "0",
           "XDG_RUNTIME_DIR": t.runtime, "GOCACHE": f"{t.work}/cache", "TMPDIR": t.work}
    began = time.monotonic()
    done = subprocess.run(argv, cwd=t.work, env=env, stdin=subprocess.DEVNULL, timeout=timeout,
                          capture_output=True)
    done.seconds = time.monotonic() - began
    return done


def shown(done):
    return f"{done.returncode} {done.stdout[-2500:].decode()!r} {done.stderr[-2500:].decode()!r}"


def language(t, argv, work, excache, make=None, heavier=3):
    """Runs argv with the amount of work, natively and inside with that many MiB of ExCache."""
    if make:
        made = run(t, make, 300)
        check(made.returncode == 0, *make, shown(made))
    if work:
        argv = [*argv, str(work * heavier if SOAK else work)]
    native = run(t, argv, 300)
    check(native.returncode == 0, "natively:", shown(native))
    t.call("up", "--memory", "2", "--memory-size", "2G")
    stats_path = f"{t.runtime}/stats"
    for policy, move in MATRIX if SOAK else MATRIX[:1]:
        inside = run(t, [t.ashlar, "run", "--replicas", "1", "--excache", f"{excache}M", "--policy",
                         policy, *move,
                         "--stats", stats_path, "--", *argv], 1200)
        with open(stats_path) as f:
            stats = json.load(f)
        print(f"  {policy} {' '.join(move)} {inside.seconds:.1f} s, natively {native.seconds:.1f} s; "
              f"{stats['misses']} misses, {stats['evictions']} evictions", flush=True)
        check((inside.returncode, inside.stdout, inside.stderr) ==
              (native.returncode, native.stdout, native.stderr),
              f"\n natively {shown(native)}\n inside   {shown(inside)}")
        check(stats["evictions"] > 0, "nothing was evicted:", stats)
        memory_is_free(t)
    t.call("down")


def source(name):
    return os.path.join(HERE, name)


def test_node(t):
    language(t, ["node", source("runtime.js")], 60000, 40)


def test_java(t):
    language(t, ["java", "-Xmx256m", "-XX:-UsePerfData", source("Runtime.java")], 80000, 56)


def test_go(t):
    language(t, ["./program"], 100000, 6, make=["go", "build", "-o", "program", source("runtime.go")])


def test_python(t):
    language(t, [PYTHON, source("runtime.py")], 16, 16)


def test_perl(t):
    language(t, ["perl", source("runtime.pl")], 40000, 10)


def test_ruby(t):
    language(t, ["ruby", source("runtime.rb")], 60000, 24)


def test_ocaml(t):
    make = "cp $0 program.ml && ocamlopt -I +unix -o program unix.cmxa program.ml"
    language(t, ["./program"], 60000, 8, make=["sh", "-c", make, source("runtime.ml")])


def test_lua(t):
    language(t, ["lua5.4", source("runtime.lua")], 30000, 5)


def test_tcl(t):
    language(t, ["tclsh8.6", source("runtime.tcl")], 0, 6)


def test_guile(t):
    language(t, ["guile", "--no-auto-compile", "-s", source("runtime.scm")], 60000, 16)


def test_musl(t):
    language(t, ["./program"], 100000, 2,
             make=["musl-gcc", "-static", "-O2", "-o", "program", source("static.c")])


def test_ripgrep(t):
    """Rust, its threads, and files read by mapping and by reading."""
    script = ("rg --no-config --sort path -c '[a-z]_t ' /usr/include/linux | md5sum; "
              "rg --no-config -j 4 -o --no-filename 'struct [a-z]+' /usr/include/linux | sort | md5sum; "
              "rg --no-config --mmap -c define /usr/include/linux/input-event-codes.h; "
              "rg --no-config nothing-of-the-kind /usr/include/linux; echo $?")
    language(t, ["sh", "-c", script], 0, 3)


if __name__ == "__main__":
    if "--soak" in sys.argv:
        SOAK = True
        sys.argv.remove("--soak")
    main(dict(globals()), sys.argv)
