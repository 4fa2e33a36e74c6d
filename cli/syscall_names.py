#!/usr/bin/python3
"""Generates the table of system call names from the system's <asm/unistd_64.h>.

Usage: syscall_names.py COMPILER... > syscall_names.h
"""
import re
import subprocess
import sys

text = subprocess.run(sys.argv[1:] + ["-E", "-dM", "-x", "c", "-"], check=True, text=True,
                      input="#include <asm/unistd_64.h>\n", stdout=subprocess.PIPE).stdout
names = {int(number): name
         for name, number in re.findall(r"#define __NR_(\w+) (\d+)$", text, re.MULTILINE)}
print("/* Generated from <asm/unistd_64.h>: the names of x86-64's system calls by number. */")
print("static const char *const syscall_names[] = {")
for number in sorted(names):
    print(f'    [{number}] = "{names[number]}",')
print("};\nenum { SYSCALL_NAMES = sizeof syscall_names / sizeof *syscall_names };")
