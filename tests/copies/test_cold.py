#!/usr/bin/python3
"""Programs whose memory is, in part or as a whole, a file: mComponents of two kinds in a rack."""
import os
import shutil
import signal
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from racks import (PYTHON, await_true, check, held, main,  # noqa: E402
                   memory_becomes_free, two_copies)
from test_copies import (CHECKER, PATTERNS, ask_in_vain, end, lose, next_round,  # noqa: E402
                         patterns)

MIB = 1 << 20


class Place:
    """A directory on a disk, which /tmp need not be."""

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="ashlar-cold-", dir="/var/tmp")
        return os.path.join(self.dir, "blocks")

    def __exit__(self, *_):
        left = os.listdir(self.dir)
        shutil.rmtree(self.dir)
        check(not left, "left there:", left)


def up(t, path, dram, cold):
    """dram mComponents of 64 MiB, m1 and so on, and then one of a file."""
    t.call("up", "--memory", str(dram), "--memory-size", "64M", "--memory-file", f"{path},{cold}")
    check(not os.path.exists(path), "the file has a name")


def test_a_program_over_both(t):
    with Place() as path:
        up(t, path, 1, "256M")
        p = patterns(t, 90)
        check(all(held(t)[name] > 16 * MIB for name in ("m1", "m2")), "not over both:", held(t))
        next_round(p)
        end(p)
        memory_becomes_free(t)
        t.call("down")


def test_forks_over_both(t):
    script = """
import os, sys
data = bytearray(84 << 20)
for i in range(0, len(data), 4096):
    data[i] = i // 4096 * 37 % 251
def right(mine=()):
    return all(data[i] == (i // 4096 * 37 % 251 + (i in mine)) % 256 for i in range(0, len(data), 4096))
for n in range(3):
    pid = os.fork()
    if pid == 0:
        mine = set(range(n * 4096, len(data), 97 * 4096))
        for i in mine:
            data[i] += 1
        os._exit(0 if right(mine) else 1)
    if os.waitpid(pid, 0)[1]:
        sys.exit(f"child {n}")
print("right" if right() else "wrong")
"""
    with Place() as path:
        up(t, path, 1, "256M")
        p = t.call("run", "--excache", "16M", "--", PYTHON, "-c", script, timeout=120)
        check(p.out == "right\n", p.out, p.err)
        memory_becomes_free(t)
        t.call("down")


def test_the_file_alone(t):
    with Place() as path:
        up(t, path, 0, "256M")
        check(list(held(t)) == ["m1"])
        p = patterns(t, 40)
        check(held(t)["m1"] > 24 * MIB, held(t))
        next_round(p)
        end(p)
        native = os.popen(f"{CHECKER} 5 300").read()
        p = t.call("run", "--excache", "512K", "--", CHECKER, "5", "300", timeout=60)
        check(p.out == native, p.out, native, p.err)
        # A pipeline of programs: starts, forks and files that are mapped.
        p = t.call("run", "--", "/bin/sh", "-c", f"{PYTHON} -c 'print(6 * 7)' | tr 4 5 | sed s/2/3/")
        check(p.out == "53\n", p.out, p.err)
        p = t.call("run", "--excache", "4M", "--", PYTHON, "-c", "bytearray(400 << 20)", code=None)
        check(p.returncode in (1, 137) and "memory" in p.err.lower(), p.returncode, p.err)
        memory_becomes_free(t)
        t.call("down")


def test_second_copies_are_of_dram(t):
    """The file has the most room, and no replicas."""
    with Place() as path:
        up(t, path, 2, "1G")
        p = patterns(t, 24)
        await_true(lambda: two_copies(t), "two copies", 20)
        sizes = held(t)
        check(sizes["m3"] == 0 and sizes["m1"] and sizes["m2"], sizes)
        lose(t, "m1", signal.SIGKILL)
        next_round(p)
        end(p)
        memory_becomes_free(t)
        t.call("down")


def test_drains_beside_it(t):
    """Second copies are given up where none but the file is left to have them."""
    with Place() as path:
        up(t, path, 2, "1G")
        p = patterns(t, 24)
        await_true(lambda: two_copies(t), "two copies", 20)
        for name in ("m1", "m2"):
            t.call("drain", name, timeout=20)
            check(held(t)[name] == 0, held(t))
            t.call("drain", name, "--undo")
            await_true(lambda: two_copies(t), "two copies again", 20)
            next_round(p)
        check(held(t)["m3"] == 0, held(t))
        end(p)
        memory_becomes_free(t)
        t.call("down")


def test_its_loss(t):
    with Place() as path:
        up(t, path, 1, "256M")
        p = patterns(t, 90)
        lose(t, "m2", signal.SIGKILL)
        ask_in_vain(p)
        p.out, p.err = p.communicate(timeout=20)
        check(p.returncode == 137 and "m2" in p.err, p.returncode, p.err)
        t.call("up")  # as it was
        await_true(lambda: t.components(code=None)["m2"]["state"] == "up", "m2 is back")
        check(t.components()["m2"]["size_bytes"] == 256 * MIB)
        end(patterns(t, 90))
        memory_becomes_free(t)
        t.call("down")


def test_what_is_refused(t):
    with Place() as path:
        for value in ("", ",1M", path, path + ",", path + ",x", path + ",1K", "x" * 300 + ",1M"):
            check("--memory-file" in t.call("up", "--memory-file", value, code=2).err, value)
        check("--memory" in t.call("up", "--memory", "0", code=2).err)
        err = t.call("up", "--memory-file", path + "/none,8M", code=1).err
        check("m3 (memory) did not start" in err and "No such file" in err, err)
        with open(path, "w") as f:
            f.write("mine\n")
        err = t.call("up", "--memory-file", f"{path},8M", code=1).err
        check("File exists" in err, err)
        with open(path) as f:
            check(f.read() == "mine\n")
        os.unlink(path)
        if os.path.isdir("/dev/shm"):
            name = f"/dev/shm/{os.path.basename(os.path.dirname(path))}"
            err = t.call("up", "--memory-file", name + ",8M", code=1).err
            check("O_DIRECT" in err and "--buffered" in err, err)
            check(not os.path.exists(name))


if __name__ == "__main__":
    main({k: v for k, v in globals().items() if getattr(v, "__module__", "") == __name__}, sys.argv)
