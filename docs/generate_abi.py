#!/usr/bin/python3
"""Prints docs/abi.md: the state of the system calls, from the table and the handlers' sources.

Usage: generate_abi.py KERNEL_DIR > docs/abi.md

Who serves each call comes from syscalls/table.c, and where, from the definitions in KERNEL_DIR.
LIMITS and UNSERVED are kept here by hand; a name that the table contradicts is an error.
"""
import glob
import itertools
import os
import re
import sys

# What a served call does not do as Linux does it.
LIMITS = {
    "mmap": "no MAP_SHARED but read-only of a regular file (then a private view of it); "
            "other kinds: ENODEV",
    "madvise": "MADV_DONTNEED acts; other advice that Linux knows is accepted or EINVAL "
               "(MADV_DONTFORK, MADV_WIPEONFORK)",
    "mlock": "granted, changes nothing",
    "mlockall": "granted, changes nothing",
    "mincore": "tells what is in the ExCache",
    "msync": "checks its arguments: there is nothing to write",
    "clone": "threads, fork and vfork; namespaces: EPERM; anything shared otherwise: ENOSYS",
    "prctl": "a list of options; seccomp and dispatch among others: EINVAL",
    "personality": "ADDR_NO_RANDOMIZE and UNAME26 only",
    "prlimit64": "RLIMIT_AS and RLIMIT_DATA are remembered, not enforced",
    "setrlimit": "as prlimit64",
    "set_robust_list": "remembered only: locks of a thread that dies are not marked",
    "getxattr": "files of an sComponent have no extended attributes: EOPNOTSUPP",
    "setxattr": "as getxattr",
    "name_to_handle_at": "EOPNOTSUPP",
    "flock": "a wait asks again every 1 to 16 ms",
    "fcntl": "leases and directory notification: EINVAL; a lock's wait as flock's",
    "ioctl": "pointers inside an argument only for SIOCGIFCONF",
    "execve": "set-user-ID bits are ignored",
    "open": "a FIFO is the host's of that name; devices are the host's below /dev",
}

# What answers ENOSYS, in groups.
UNSERVED = [
    ("Shared memory and messages between processes (System V, POSIX queues)",
     "shmget shmat shmctl shmdt semget semop semctl semtimedop msgget msgsnd msgrcv msgctl "
     "mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr"),
    ("Newer interfaces that libraries do without",
     "rseq clone3 io_uring_setup io_uring_enter io_uring_register io_setup io_submit io_getevents "
     "io_cancel io_destroy io_pgetevents pidfd_getfd pkey_alloc pkey_free pkey_mprotect "
     "fchmodat2 futex_waitv process_mrelease process_madvise set_mempolicy_home_node "
     "cachestat memfd_secret statmount listmount"),
    ("Looking into other processes",
     "ptrace process_vm_readv process_vm_writev kcmp perf_event_open"),
    ("Watching files", "inotify_init inotify_init1 inotify_add_watch inotify_rm_watch "
     "fanotify_init fanotify_mark"),
    ("Namespaces, mounts by descriptor, filters, keys",
     "seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self "
     "open_tree move_mount fsopen fsconfig fsmount fspick mount_setattr quotactl_fd bpf "
     "userfaultfd add_key request_key keyctl"),
    ("Placement of memory", "mbind set_mempolicy get_mempolicy migrate_pages move_pages "
     "remap_file_pages"),
    ("Other", "restart_syscall modify_ldt kexec_load kexec_file_load finit_module lookup_dcookie "
     "ustat sysfs uselib _sysctl"),
]

FAMILY = re.compile(r"^    /\* (.+) \*/$")
ROW = re.compile(r"\b(CALL|AS|HOST|HOST_FD)\((\w+)((?:[^()]|\([^()]*\))*)\)")


def definitions(kernel):
    """Handler → the file that defines it."""
    where = {}
    for path in sorted(glob.glob(os.path.join(kernel, "**", "*.c"), recursive=True)):
        with open(path) as source:
            for name in re.findall(r"^long (sys_\w+)\(", source.read(), re.M):
                where[name] = os.path.relpath(path, kernel)
    return where


def table(kernel):
    """Yields (family, call, macro, handler)."""
    family = None
    with open(os.path.join(kernel, "syscalls", "table.c")) as source:
        body = source.read().split("syscall_table[SYSCALL_COUNT] = {\n")[1].split("\n};")[0]
    for line in re.sub(r",\n {5,}", ", ", body).split("\n"):
        if match := FAMILY.match(line):
            family = match[1]
        for macro, name, rest in ROW.findall(line):
            handler = rest.strip(" ,") if macro == "AS" else name
            yield family, name, macro, handler


def served_by(macro, handler, where):
    if macro in ("HOST", "HOST_FD"):
        return "host"
    if handler == "not_permitted":
        return "EPERM"
    return where["sys_" + handler]


def main():
    kernel = sys.argv[1]
    where = definitions(kernel)
    rows = list(table(kernel))
    names = {name for _, name, _, _ in rows}
    for name in " ".join(group for _, group in UNSERVED).split():
        if name in names:
            sys.exit(f"generate_abi.py: {name} is served now: take it out of UNSERVED")
    for name in LIMITS:
        if name not in names:
            sys.exit(f"generate_abi.py: {name} is not served: take it out of LIMITS")

    print(f"""# The system calls

Generated by `make docs` from process/kernel/syscalls/table.c. The ABI is that of Linux on x86-64,
64-bit calls only: `int 0x80` answers ENOSYS.

{len(rows)} calls are served. *host* is the host kernel's own call, with its arguments copied in and
out of the program's memory (process/kernel/syscalls/describe.h); a file name is where Ashlar's own
handler lies, below process/kernel/; EPERM is the whole answer. `ashlar run --trace` prints every
call, and names once each that is not served. What does not behave as on Linux is summed up in
[caveats.md](caveats.md).
""")
    for family, group in itertools.groupby(rows, key=lambda row: row[0]):
        print(f"## {family[0].upper()}{family[1:]}\n\n| call | served by | limits |\n|---|---|---|")
        for _, name, macro, handler in group:
            print(f"| {name} | {served_by(macro, handler, where)} | {LIMITS.get(name, '')} |")
        print()
    print("## Not served: ENOSYS\n\nEvery other number, among them:\n")
    for title, group in UNSERVED:
        print(f"- {title}: {', '.join(group.split())}.")


main()
