"""What the scripts of this folder share: a rack of their own, programs natively and on it, medians,
and how figures are shown. Nothing is left behind, also by a script that is interrupted.
"""
import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile


def arguments(text, rounds, *more):
    """BUILD [ROUNDS] [--json] and what `more` gives to add_argument()."""
    parser = argparse.ArgumentParser(description=text,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", nargs="?", default="build", help="the build directory")
    parser.add_argument("rounds", nargs="?", type=int, default=rounds)
    parser.add_argument("--json", action="store_true", help="the figures as one JSON object")
    for names, options in more:
        parser.add_argument(*names, **options)
    given = parser.parse_args()
    given.build = os.path.abspath(given.build)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    return given


def note(*words):
    print(*words, file=sys.stderr, flush=True)


def program(build, name):
    return os.path.join(build, "bench", "bench-" + name)


def native(argv, **options):
    """The JSON that it prints."""
    return json.loads(subprocess.run(argv, check=True, stdout=subprocess.PIPE, **options).stdout)


class Rack:
    """A rack in a directory of its own, for a `with`."""

    def __init__(self, build, *up):
        self.ashlar = os.path.join(build, "cli", "ashlar")
        self.dir = tempfile.mkdtemp(prefix="ashlar-bench-")
        self.key = os.path.join(self.dir, "ashlar", "default", "key")
        self.env = {k: v for k, v in os.environ.items() if k != "ASHLAR_RACK"}
        self.env["XDG_RUNTIME_DIR"] = self.dir
        self.up = up

    def __enter__(self):
        self.call("up", *self.up)
        return self

    def __exit__(self, *_):
        subprocess.run([self.ashlar, "down"], env=self.env, stdout=subprocess.DEVNULL, check=False)
        shutil.rmtree(self.dir)

    def call(self, *args, check=True):
        return subprocess.run([self.ashlar, *args], env=self.env, stdout=subprocess.PIPE, text=True,
                              check=check).stdout

    def popen(self, *args, **options):
        return subprocess.Popen([self.ashlar, *args], env=self.env, **options)

    def run(self, options, argv):
        """What a program printed, and what --stats says of the run."""
        path = os.path.join(self.dir, "stats.json")
        out = self.call("run", *options, "--stats", path, "--", *argv)
        with open(path) as f:
            return out, json.load(f)

    def components(self, kind):
        """By name; of a rack that may be degraded."""
        listed = json.loads(self.call("status", "--json", check=False))["components"]
        return {c["id"]: c for c in listed if c["kind"] == kind}


class Samples:
    """Lists of figures by name; the median of each."""

    def __init__(self):
        self.lists = {}

    def add(self, name, value):
        self.lists.setdefault(name, []).append(value)

    def __getitem__(self, name):
        return statistics.median(self.lists[name])


def amount(value, unit):
    if unit == "ns":
        if value < 1000:
            return f"{value:.0f} ns"
        if value < 1e6:
            return f"{value / 1e3:.1f} us"
        return f"{value / 1e6:.1f} ms" if value < 1e9 else f"{value / 1e9:.2f} s"
    return f"{value:.0f} {unit}" if value >= 100 else f"{value:.4g} {unit}"


class Report:
    """Rows of figures beside what they are compared with."""

    def __init__(self, given):
        self.as_json, self.rounds, self.rows, self.notes = given.json, given.rounds, [], []
        self.load = os.getloadavg()[0]

    def row(self, what, measured, baseline=None, unit="ns", budget="", **more):
        self.rows.append({"what": what, "measured": measured, "baseline": baseline, "unit": unit,
                          "ratio": baseline and measured / baseline, "budget": budget, **more})

    def note(self, text):
        self.notes.append(text)

    def show(self):
        host = {"cpus": os.cpu_count(), "linux": os.uname().release, "rounds": self.rounds,
                "load_before": self.load, "load_after": os.getloadavg()[0]}
        if self.as_json:
            print(json.dumps({**host, "rows": self.rows, "notes": self.notes}, indent=2))
            return
        print(f"\n{host['cpus']} CPUs, Linux {host['linux']}, {self.rounds} rounds, medians; load "
              f"average {self.load:.1f} before, {host['load_after']:.1f} after\n")
        wide = max(len(row["what"]) for row in self.rows) + 2
        for r in self.rows:
            baseline, ratio = (amount(r["baseline"], r["unit"]), f"{r['ratio']:.2f}") \
                if r["baseline"] else ("", "")
            print(f"{r['what']:<{wide}}{amount(r['measured'], r['unit']):>14}{baseline:>14}"
                  f"{ratio:>9}  {r['budget']}")
        for text in self.notes:
            print(text)
