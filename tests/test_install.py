#!/usr/bin/python3
"""An installed tree is whole: a rack starts from it, and a program runs.

Usage: test_install.py BUILD_DIR
"""
import os
import subprocess
import sys
import tempfile

with tempfile.TemporaryDirectory(prefix="ashlar-install-") as scratch:
    tree, runtime = os.path.join(scratch, "tree"), os.path.join(scratch, "runtime")
    os.mkdir(runtime, 0o700)
    subprocess.run(["meson", "install", "-C", sys.argv[1], "--no-rebuild", "--quiet",
                    "--destdir", tree], check=True)
    found = [os.path.join(at, "ashlar") for at, _, files in os.walk(tree)
             if os.path.basename(at) == "bin" and "ashlar" in files]
    assert len(found) == 1, found
    environment = {**os.environ, "XDG_RUNTIME_DIR": runtime}
    environment.pop("ASHLAR_RACK", None)
    subprocess.run([found[0], "up", "--memory-size", "64M"], env=environment, check=True)
    try:
        run = subprocess.run([found[0], "run", "--", "/bin/sh", "-c", "echo $((6 * 7))"],
                             env=environment, check=True, capture_output=True, text=True)
    finally:
        subprocess.run([found[0], "down"], env=environment, check=True)
    assert run.stdout == "42\n", run.stdout
