#!/usr/bin/python3
"""What programs do on a rack, compared with what they do natively: output, messages, exit code."""
import json
import os
import signal
import subprocess
import sys

from racks import (PYTHON, SH, Terminal, alive, check, children, finish, main, memory_is_free,
                   up)

STATS_NUMBERS = ("misses", "p_local_fills", "lines_fetched", "lines_written_back", "evictions",
                 "rescued", "miss_ns_p50", "miss_ns_p99", "excache_bytes", "peak_resident_bytes")


def same(t, *argv, options=(), timeout=60, **surroundings):
    """Runs a command natively and on the rack: all that its caller sees is the same."""
    surroundings.setdefault("env", t.env)
    surroundings.setdefault("cwd", t.work)
    if "input" not in surroundings:
        surroundings["stdin"] = subprocess.DEVNULL
    native = subprocess.run(argv, capture_output=True, timeout=timeout, **surroundings)
    ours = subprocess.run([t.ashlar, "run", *options, "--", *argv], capture_output=True,
                          timeout=2 * timeout, **surroundings)
    code = native.returncode if native.returncode >= 0 else 128 - native.returncode
    check(ours.returncode == code and ours.stdout == native.stdout and
          ours.stderr == native.stderr,
          f"{argv}:\n natively {code} {native.stdout[:1000]!r} {native.stderr[-1000:]!r}"
          f"\n here     {ours.returncode} {ours.stdout[:1000]!r} {ours.stderr[-1000:]!r}")
    return native


def python(t, program, *args, **options):
    return same(t, PYTHON, "-c", program, *args, **options)


def test_arguments_and_surroundings(t):
    up(t)
    odd = [b"", b" ", b"\xff\xfe\x01", b"a\nb", b"*", b"'\"\\$", b"--", b"-x", "ü→".encode(),
           b"x" * 100000]
    same(t, "/usr/bin/printf", "[%s]", *odd)
    python(t, "import os, sys; print([os.fsencode(a) for a in sys.argv])", *odd)
    same(t, "/usr/bin/env", env={"A": "1", "B": "", "C": "x=y", "LONG": "l" * 100000,
                                 "ODD": b"\xff\n"})
    same(t, "/usr/bin/env", env={})
    for directory in ("/", "/usr/share", t.work):
        same(t, SH, "-c", "pwd; /bin/pwd -P; ls -d .", cwd=directory)
    for mask in (0, 0o22, 0o77, 0o777):
        same(t, SH, "-c", "umask; rm -f made; : >made; stat -c %a made; rm -f made", umask=mask)
    t.call("down")


def test_scripts_and_search(t):
    up(t)

    def write(name, text, mode=0o755):
        path = os.path.join(t.work, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)

    write("plain", "#!/bin/sh\necho plain \"$0\" \"$@\"\n")
    write("option", "#!/bin/sh -e\nfalse\necho not here\n")
    write("spaces", "#!  /usr/bin/env   python3\nimport sys; print(sys.argv)\n")
    write("outer", f"#!{t.work}/inner with words\nnothing\n")
    write("inner", "#!/usr/bin/python3\nimport sys; print(sys.argv)\n")
    write("missing", "#!/nowhere/interpreter\n")
    write("bare", "echo no line about an interpreter $0\n")
    write("dir/tool", "#!/bin/sh\necho tool \"$0\"\n")
    write("denied", "#!/bin/sh\n", 0o644)
    path = {**t.env, "PATH": "/usr/bin:/bin"}
    for name in ("./plain", "./option", "./spaces", "./outer"):
        same(t, name, "one", "two words", env=path)
    same(t, SH, "-c", "PATH=dir:$PATH; tool; dir/tool; ./bare; ./missing; ./denied; echo $?; "
         "nothing-of-the-kind; echo $?", env=path)
    same(t, "tool", env={**path, "PATH": f"{t.work}/dir:/usr/bin"})
    t.call("down")


def test_exit_codes(t):
    up(t)
    for code in (0, 1, 2, 126, 127, 128, 137, 255):
        same(t, SH, "-c", f"exit {code}")
    for number in ("HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1",
                   "SEGV", "PIPE", "ALRM", "TERM", "XCPU", "SYS", "RTMIN"):
        same(t, SH, "-c", f"ulimit -c 0; kill -{number} $$")
    python(t, "import ctypes; ctypes.string_at(0)")
    python(t, "import os; os.abort()")
    same(t, "/bin/false")
    same(t, "/bin/ls", "/nowhere")
    t.call("down")


def test_streams(t):
    up(t)
    same(t, "/bin/cat", input=bytes(range(256)) * 1000)
    same(t, "/usr/bin/head", "-c", "10", input=b"x" * 1000000)
    same(t, SH, "-c", "echo to the first; echo to the second >&2; exec 3>&1; echo to a third >&3")
    same(t, SH, "-c", "yes | head -n 3; seq 100000 | sort -rn | tail -n 2")
    same(t, SH, "-c", "echo here >file; cat <file >copy; cat file copy; rm file copy")
    # Its reader goes away: the program gets SIGPIPE, as from any shell.
    p = t.popen("run", "yes", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    check(p.stdout.read(4) == b"y\ny\n")
    p.stdout.close()
    check(p.wait(10) == 141, p.returncode, p.stderr.read())
    p.stderr.close()
    memory_is_free(t)
    t.call("down")


def test_much_through_pipes(t):
    up(t)
    total = 200 << 20
    same(t, SH, "-c", f"head -c {total} /dev/zero | cat | tr '\\0' x | cat | md5sum",
         options=["--excache", "4M"], timeout=120)
    # From a writer outside to a reader outside.
    p = t.popen("run", "cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    writer = subprocess.Popen(["head", "-c", str(total), "/dev/zero"], stdout=p.stdin)
    p.stdin.close()
    got = 0
    while piece := p.stdout.read(1 << 20):
        got += len(piece)
    check((got, p.wait(10), writer.wait(10)) == (total, 0, 0), got, p.returncode)
    p.stdout.close()
    t.call("down")


def test_trees_of_processes(t):
    up(t)
    same(t, SH, "-c", "for i in 1 2 3; do (sleep 0.0$i; exit $i) & done; "
         "wait %1; echo $?; wait %2; echo $?; wait %3; echo $?; wait; echo all")
    same(t, SH, "-c", "(exit 3) | (cat; exit 4); echo $?; x=$(echo $(echo $(echo deep))); echo $x")
    same(t, "/bin/bash", "-c", "set -o pipefail; diff <(seq 5) <(seq 6); false | true; echo $? "
         "${PIPESTATUS[@]}; coproc cat; echo hi >&${COPROC[1]}; read -u ${COPROC[0]} x; echo $x")
    python(t, """
import os, subprocess, sys
print(subprocess.run(["sort"], input="b\\na\\n", text=True, capture_output=True))
print(subprocess.run("exit 5", shell=True).returncode)
print([subprocess.Popen([sys.executable, "-c", f"print({n})"], stdout=subprocess.PIPE)
       .communicate()[0] for n in range(3)])
try:
    subprocess.run(["/nowhere"])
except FileNotFoundError as error:
    print(error)
try:
    subprocess.run(["sleep", "60"], timeout=0.2)
except subprocess.TimeoutExpired:
    print("timed out")
sys.stdout.flush()
for n in range(20):
    if os.fork() == 0:
        os._exit(n)
print(sorted(os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(20)))
""")
    memory_is_free(t)
    t.call("down")


def test_memory_after_fork(t):
    """Parent and child see what was, then each its own, though most of it is on its mComponent."""
    up(t)
    python(t, """
import os, hashlib
memory = bytearray(b"before--" * (1 << 20))
def digest():
    return hashlib.md5(memory).hexdigest()
ready, go = os.pipe(), os.pipe()
if os.fork() == 0:
    for at in range(0, len(memory), 4096):
        memory[at:at + 5] = b"child"
    os.write(ready[1], digest().encode())
    os.read(go[0], 1)
    print("child", digest(), flush=True)
    os._exit(0)
print("parent sees", digest(), "child says", os.read(ready[0], 100).decode())
for at in range(0, len(memory), 8192):
    memory[at:at + 6] = b"parent"
os.write(go[1], b"x")
os.wait()
print("parent", digest())
""", options=["--excache", "4M"])
    t.call("down")


def test_threads_and_recursion(t):
    up(t)
    python(t, """
import threading, queue
todo, done = queue.Queue(), []
lock = threading.Lock()
def work():
    while (n := todo.get()) is not None:
        with lock:
            done.append(sum(range(n)))
threads = [threading.Thread(target=work) for _ in range(16)]
for thread in threads: thread.start()
for n in range(2000): todo.put(n)
for thread in threads: todo.put(None)
for thread in threads: thread.join(60)
print(len(done), sum(done))
""")
    python(t, """
import sys, threading
sys.setrecursionlimit(1000000)
threading.stack_size(128 << 20)
def deep(n):
    return 0 if n == 0 else 1 + max(deep(n - 1), 0)
def run():
    print(deep(100000))
thread = threading.Thread(target=run); thread.start(); thread.join()
""", options=["--excache", "4M"])
    # A stack that grows to its limit, and one step further.
    script = "f() { f; }; f"
    native = subprocess.run(["/bin/bash", "-c", script], capture_output=True)
    ours = t.call("run", "/bin/bash", "-c", script, code=None, timeout=60)
    check(native.returncode == -signal.SIGSEGV and ours.returncode == 139, native.returncode,
          ours.returncode, ours.err)
    t.call("down")


def test_static_and_other_kinds(t):
    up(t)
    same(t, "/bin/busybox", "echo", "static")
    same(t, "/bin/busybox", "sh", "-c", "busybox seq 10 | busybox awk '{ s += $1 } END { print s }'")
    same(t, "/usr/bin/perl", "-e", 'print join(",", map { $_ ** 2 } 1 .. 10), "\\n"')
    same(t, "/usr/bin/gawk", "BEGIN { while (i < 10) s = s i++; print s }")
    same(t, "/usr/bin/sqlite3", ":memory:", "select sum(value) from generate_series(1, 1000);")
    t.call("down")


FREES = """
import mmap
for _ in range(24):
    area = mmap.mmap(-1, 8 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for at in range(0, len(area), 4096):
        area[at] = 1
    area.madvise(mmap.MADV_FREE)
    kept.append(area)
"""


def test_memory_that_is_given_up(t):
    """MADV_FREE: what nobody wants any more is not sent to the mComponent."""
    up(t)
    path = os.path.join(t.work, "stats.json")
    t.call("run", "--excache", "32M", "--stats", path, "--", PYTHON, "-c", "kept = []" + FREES)
    with open(path) as f:
        stats = json.load(f)
    check(stats["lines_written_back"] < 24 * 2048 // 4, stats)
    t.call("down")


def test_lines_that_are_written_to_again(t):
    """They come writable, so that a pass that writes has not a fault more for each of them; and in a
    pass that only reads what was written to before, lines are not sent back for it."""
    up(t)
    path = os.path.join(t.work, "stats.json")
    lines, passes = (24 << 20) // 4096, 6

    def stats_of(each):
        t.call("run", "--excache", "8M", "--stats", path, "--", PYTHON, "-c",
               f"m = bytearray({lines} * 4096)\nfor k in range(0, len(m), 4096): m[k] = 1\n"
               f"for _ in range({passes}):\n for k in range(0, len(m), 4096): {each}")
        with open(path) as f:
            return json.load(f)

    written = stats_of("m[k] = m[k] + 1")
    check(written["lines_fetched"] > lines * (passes - 1), written)
    check(written["write_protect_faults"] < written["lines_fetched"] // 3, written)
    read = stats_of("m[k]")
    check(read["lines_written_back"] < 4 * lines, read)  # MALLOC_PERTURB_ writes twice to all
    t.call("down")


# What tools show of a process that waits, but for what differs from run to run.
LOOK = r"""
until ps -o stat= -p "$1" | grep -q '^[ST]'; do :; done
pmap "$1" | awk 'NR > 1 && !/total/ {$1 = $2 = ""; print}' | sort -u
ps -o stat=,comm=,args= -p "$1"
space=$(ps -o vsz= -p "$1") resident=$(ps -o rss= -p "$1")
test "$space" -eq "$(awk '/^VmSize/ {print $2}' /proc/$1/status)" || echo "space $space"
test "$resident" -gt 100 -a "$resident" -lt 4000 || echo "resident $resident"
top -b -n 1 -p "$1" | awk -v space="$space" '$NF == "cat" {print $5 == space, $8, $12}'
grep -E 'open files|file size|stack' /proc/$1/limits
grep ^Sig[BIC] /proc/$1/status
"""
WAITING = r"""
mkfifo there back
(ulimit -n 200; trap '' HUP; exec cat <there >back) &
exec 3>there 4<back
echo word >&3
read word <&4
rm there back
"""


def test_tools_that_show_processes(t):
    up(t)
    env = {**t.env, "LC_ALL": "C"}
    same(t, SH, "-c", WAITING + "set -- $!\n" + LOOK + "kill $1", env=env)
    same(t, SH, "-c", WAITING + "set -- $!\nkill -STOP $1\n" + LOOK + "kill -KILL $1", env=env)
    # Of another run.
    looks = []
    for run in ((t.ashlar, "run", "--"), ()):
        p = subprocess.Popen([*run, SH, "-c", "ulimit -n 200; exec cat"], env=env,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        os.write(p.stdin.fileno(), b"word\n")
        check(p.stdout.readline() == b"word\n")
        pid = children(p.pid)[0] if run else p.pid
        looks.append(subprocess.run([*run, SH, "-c", LOOK, "sh", str(pid)], env=env, check=True,
                                    capture_output=True, text=True))
        p.stdin.close()
        p.stdout.close()
        p.wait(10)
    check(looks[0].stdout == looks[1].stdout, looks[0], looks[1])
    t.call("down")


def test_stats(t):
    up(t)
    path = os.path.join(t.work, "stats.json")
    memory = 48 << 20
    t.call("run", "--excache", "16M", "--stats", path, "--", PYTHON, "-c",
           f"x = bytearray({memory}); x[::4096] = b'x' * len(x[::4096]); print(sum(x[::4096]))")
    with open(path) as f:
        stats = json.load(f)
    for key in STATS_NUMBERS:
        check(isinstance(stats[key], int) and stats[key] >= 0, key, stats.get(key))
    for key in ("messages", "syscalls"):
        check(stats[key] and all(isinstance(n, int) and n > 0 for n in stats[key].values()), key)
    lines = memory // 4096
    check(stats["p_local_fills"] >= lines, "new lines come without a message", stats)
    check(stats["evictions"] >= lines - (16 << 20) // 4096, stats)
    check(stats["lines_written_back"] >= lines - (16 << 20) // 4096, stats)
    check(stats["lines_fetched"] >= lines // 2, stats)
    check(0 < stats["miss_ns_p50"] <= stats["miss_ns_p99"], stats)
    check(stats["excache_bytes"] == 16 << 20, stats)
    check(8 << 20 < stats["peak_resident_bytes"] < 30 << 20, stats)
    check({"line_fetch", "line_write"} <= set(stats["messages"]), stats["messages"])
    check({"mmap", "read", "execve"} & set(stats["syscalls"]), stats["syscalls"])
    # Summed over the tree: three more processes do the same again.
    t.call("run", "--excache", "16M", "--stats", path, "--", SH, "-c",
           "for i in 1 2 3; do /usr/bin/python3 -c 'x = bytearray(8 << 20); x[::4096] = b\"x\" * "
           "len(x[::4096])'; done")
    with open(path) as f:
        tree = json.load(f)
    check(tree["p_local_fills"] >= 3 * (8 << 20) // 4096, tree)
    t.call("down")


def test_a_shell_on_a_terminal(t):
    """An interactive shell as the program: its own jobs, stty, Ctrl-C and Ctrl-Z within."""
    up(t)
    t.env["TERM"] = "dumb"
    terminal = Terminal(t, [t.ashlar, "run", "--", "/bin/bash", "--norc", "-i"])

    def types(text, answer):
        terminal.seen = b""
        terminal.type(text)
        terminal.await_output(answer, 15)

    types(b"PS1='>'; stty -echo; echo re''ady\n", b"ready\r\n>")
    types(b"stty size; stty rows 33 cols 99; stty size\n", b"33 99\r\n>")
    types(b"tty | grep -c /dev/pts\n", b"1\r\n>")
    types(b"cat\n", b"")
    types(b"to cat\n", b"to cat\r\n")
    types(b"\x03", b">")
    types(b"echo code $?\n", b"code 130\r\n>")
    types(b"cat\n", b"")
    types(b"again\n", b"again\r\n")
    types(b"\x1a", b"Stopped")
    types(b"jobs\n", b"[1]+")
    types(b"fg\n", b"cat\r\n")
    types(b"more\n", b"more\r\n")
    types(b"\x04", b">")
    types(b"sleep 1000 & echo $!\n", b">")
    background = int(terminal.seen.split(b"]")[-1].split()[0])
    check(alive(background), terminal.seen)
    types(b"kill %1; wait %1; echo code $?\n", b"code 143")
    terminal.type(b"exit 7\n")
    check(terminal.said() == "ended 7 True", terminal.seen)
    terminal.close()
    memory_is_free(t)
    t.call("down")


def test_stopped_and_continued(t):
    """From an outer shell: Ctrl-Z, then fg, in the midst of work."""
    up(t)
    terminal = Terminal(t, [t.ashlar, "run", "--excache", "4M", "--", PYTHON, "-c",
                            "x = bytearray(8 << 20)\nprint('ready', flush=True)\n"
                            "for r in range(10 ** 9):\n"
                            " for i in range(0, len(x), 4096):\n"
                            "  assert x[i] == r % 256; x[i] = (r + 1) % 256\n"])
    terminal.await_output(b"ready", 30)
    for _ in range(3):
        terminal.type(b"\x1a")
        check(terminal.said() == f"stopped {int(signal.SIGTSTP)}")
        terminal.go_on()
    terminal.type(b"\x03")
    check(terminal.said() == "ended 130 True", terminal.seen)
    terminal.close()
    memory_is_free(t)
    t.call("down")


if __name__ == "__main__":
    main(dict(globals()), sys.argv)
