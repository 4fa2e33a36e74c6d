#!/usr/bin/python3
"""Test: docs/abi.md is what docs/generate_abi.py prints.

Usage: check_abi.py GENERATOR KERNEL_DIR PAGE
"""
import subprocess
import sys

generator, kernel, page = sys.argv[1:]
made = subprocess.run([sys.executable, generator, kernel], capture_output=True, text=True, check=True)
with open(page) as committed:
    if committed.read() != made.stdout:
        sys.exit(f"{page} is not what the system call table says: make docs")
