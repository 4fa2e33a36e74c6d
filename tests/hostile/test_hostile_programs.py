#!/usr/bin/python3
"""Programs that attack what they run on: they alone may suffer. A witness goes on beside them."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from racks import SH, await_true, check, holds, main, memory_is_free, up  # noqa: E402

SEED = os.environ.get("ASHLAR_SEED", "1")
CALLS, MACHINE, FIGURES, EXEC = (os.path.abspath(name) for name in sys.argv[2:6])
del sys.argv[2:6]

# Memory, files and processes of its own, checked on each line that it is sent.
WITNESS = r"""
total=0
while read word; do
    total=$((total + 1))
    echo "$word" >witness && test "$(cat witness)" = "$word" && echo "$total"
done
"""


def beside_a_witness(t, *program, timeout=90):
    up(t)
    before = {name: c["pid"] for name, c in t.components().items()}
    witness = t.popen("run", "--", SH, "-c", WITNESS, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                      text=True)

    def ask(n):
        witness.stdin.write(f"word{n}\n")
        witness.stdin.flush()
        check(witness.stdout.readline() == f"{n}\n", "the witness has suffered")

    ask(1)
    out = t.call("run", "--excache", "8M", "--", *program, code=None, timeout=timeout)
    check(out.returncode == 0, out.returncode, out.out[-2000:], out.err[-2000:])
    check("assertion" not in out.err, out.err)
    ask(2)
    after = t.components()
    check({name: c["pid"] for name, c in after.items()} == before, "a daemon was replaced")
    check(all(c["state"] == "up" for c in after.values()), after)
    witness.stdin.close()
    check(witness.wait(timeout=10) == 0)
    await_true(lambda: not any(holds(c) for c in t.components().values()
                               if c["kind"] == "memory"), "memory is free")
    memory_is_free(t)
    t.call("down")
    return out


def test_every_call(t):
    out = beside_a_witness(t, CALLS, SEED)
    check(re.search(r"^\d+ died, 0 hung$", out.out, re.M), out.out)


def test_the_machinery(t):
    out = beside_a_witness(t, MACHINE, SEED)
    check(out.out.endswith("0 hung\n"), out.out)


def test_state_of_others(t):
    symbols = subprocess.run(["nm", EXEC], capture_output=True, text=True, check=True).stdout
    where = [re.search(rf"^(\w+) \w {name}$", symbols, re.M).group(1)
             for name in ("mm", "first_process", "tables")]
    out = beside_a_witness(t, FIGURES, SEED, *where)
    check(out.out == "0 slow\n", out.out)


if __name__ == "__main__":
    main(dict(globals()), sys.argv)
