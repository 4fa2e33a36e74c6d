"""What the host says is resident: of programs on a rack, apart from what runs them.

The host's accounting of a process is /proc/PID/smaps. Mappings inside the window that programs
live in are the program's memory, which is to fit the ExCache; all others are ashlar-exec's own.
"""
import ctypes
import os
import select
import threading
import time

WINDOW_START, WINDOW_END = 0x10000, 0x400000000000  # proto/limits.h
OWN_BYTES, OWN_SHARE = 12 << 20, 0.01
INTERVAL_MS = 100
STOP_S = 0.05

PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def ptrace(request, thread, data):
    return LIBC.ptrace(ctypes.c_long(request), ctypes.c_long(thread), ctypes.c_void_p(0),
                       ctypes.c_void_p(data))


def descendants(pid):
    """Every process below pid, whichever of its parents' threads made it."""
    found, todo = [], [pid]
    while todo:
        parent = todo.pop()
        try:
            for thread in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{thread}/children") as f:
                    todo += [int(word) for word in f.read().split()]
        except (FileNotFoundError, ProcessLookupError):
            pass
        found.append(parent)
    return found[1:]


def read_smaps(pid):
    """(start, resident bytes) of every mapping."""
    with open(f"/proc/{pid}/smaps", "rb", buffering=0) as f:
        pieces = []
        while piece := f.read(1 << 20):
            pieces.append(piece)
    mappings, start = [], 0
    for line in b"".join(pieces).split(b"\n"):
        if line.startswith(b"Rss:"):
            mappings.append((start, int(line.split()[1]) << 10))
        elif b"-" in line[:20] and not line[:1].isupper():
            start = int(line[:line.index(b"-")], 16)
    return mappings


def resident(pid):
    """Resident bytes: (inside the window, outside of it)."""
    inside = outside = 0
    for start, size in read_smaps(pid):
        if WINDOW_START <= start < WINDOW_END:
            inside += size
        else:
            outside += size
    return inside, outside


def is_program(pid):
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "ashlar-exec"
    except OSError:
        return False


class Frozen:
    """Holds every thread of a process still, so that what is read of it is of one moment.

    By ptrace, without a signal: the process and its parent see nothing of it. Threads that cannot
    stop now (a parent in vfork) do not run either; they are let go when they come to a stop.
    """

    stuck = set()  # threads that are still to stop, or to be waited for

    def __init__(self, pid):
        self.pid, self.stopped, self.held = pid, {}, False

    def __enter__(self):
        Frozen.release_stuck()
        until = time.monotonic() + STOP_S
        try:
            while True:  # until no thread is new: those held make no more
                new = [int(t) for t in os.listdir(f"/proc/{self.pid}/task")
                       if int(t) not in self.stopped]
                new = [t for t in new if t not in Frozen.stuck]
                if not new:
                    break
                for thread in new:
                    if self.hold(thread, until):
                        self.held = True
        except (FileNotFoundError, ProcessLookupError):
            pass
        return self

    def hold(self, thread, until):
        self.stopped[thread] = None
        if ptrace(PTRACE_SEIZE, thread, 0) < 0:
            return False
        if ptrace(PTRACE_INTERRUPT, thread, 0) < 0:  # it has just ended
            Frozen.stuck.add(thread)
            return False
        while True:
            try:
                pid, status = os.waitpid(thread, WALL | os.WNOHANG)
            except ChildProcessError:  # it executes a program, as another thread of its process
                return False
            if pid:
                self.stopped[thread] = status
                return os.WIFSTOPPED(status)
            if time.monotonic() > until:
                Frozen.stuck.add(thread)
                return False
            os.sched_yield()

    def __exit__(self, *_):
        for thread, status in self.stopped.items():
            if status is not None:
                Frozen.let_go(thread, status)

    @staticmethod
    def let_go(thread, status):
        """A signal on whose way it was stopped goes on its way.

        One that was killed meanwhile, as by the exit of a thread not yet held, is to be waited for,
        or its process never ends for its parent.
        """
        if not os.WIFSTOPPED(status):
            return
        if ptrace(PTRACE_DETACH, thread, 0 if status >> 16 else os.WSTOPSIG(status)) < 0:
            Frozen.stuck.add(thread)

    @staticmethod
    def release_stuck():
        for thread in list(Frozen.stuck):
            try:
                pid, status = os.waitpid(thread, WALL | os.WNOHANG)
            except ChildProcessError:
                Frozen.stuck.discard(thread)
                continue
            if pid:
                Frozen.stuck.discard(thread)
                Frozen.let_go(thread, status)


class Sampler:
    """Samples every program below a process, all the time until that process ends."""

    def __init__(self, pid):
        self.inside = self.outside = self.samples = 0
        self.pid = pid
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        poll = select.poll()
        try:
            fd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        poll.register(fd, select.POLLIN)
        while not poll.poll(INTERVAL_MS):
            for pid in descendants(self.pid):
                if is_program(pid):
                    self.sample(pid)
            Frozen.release_stuck()
        os.close(fd)

    def sample(self, pid):
        try:
            with Frozen(pid) as frozen:
                inside, outside = resident(pid)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return  # it has just ended
        if frozen.held:
            self.samples += 1
            self.inside = max(self.inside, inside)
            self.outside = max(self.outside, outside)

    def join(self):
        self.thread.join()
        return self
