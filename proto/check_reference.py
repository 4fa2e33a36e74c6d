#!/usr/bin/python3
"""Fails where docs/wire.md is not what generate.py makes now.

Usage: check_reference.py generate.py messages.def errors.def docs/wire.md
"""
import subprocess
import sys

generate, messages, errors, page = sys.argv[1:]
now = subprocess.run([sys.executable, generate, "reference", messages, errors], check=True,
                     capture_output=True, text=True).stdout
with open(page, encoding="utf-8") as file:
    if file.read() != now:
        sys.exit(f"{page} is not current: proto/generate.py reference proto/messages.def "
                 "proto/errors.def > docs/wire.md")
