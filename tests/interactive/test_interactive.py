#!/usr/bin/python3
"""Programs at a terminal: bash with job control, vi, less, top, python's prompt."""
import fcntl
import os
import pty
import re
import select
import shutil
import struct
import sys
import termios
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from racks import PYTHON, check, main, memory_is_free, up  # noqa: E402

ROWS, COLUMNS = 24, 80


class Session:
    """A program inside, the leader of a session with a terminal of 24 by 80."""

    def __init__(self, t, *program):
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(t.work)
            env = dict(t.env, TERM="xterm", PS1="ready> ", LC_ALL="C", HOME=t.work, HISTFILE="",
                       PYTHONSTARTUP="", EXINIT="")
            os.execve(t.ashlar, [t.ashlar, "run", "--excache", "16M", "--", *program], env)
        self.resize(ROWS, COLUMNS)
        self.seen = b""

    def resize(self, rows, columns):
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys):
        os.write(self.terminal, keys)

    def read(self, seconds):
        ready, _, _ = select.select([self.terminal], [], [], seconds)
        if not ready:
            return False
        try:
            self.seen += os.read(self.terminal, 65536)
        except OSError:  # its last user has gone
            return False
        return True

    def expect(self, pattern, seconds=20):
        """Waits for a pattern and forgets what came up to its end."""
        until = time.monotonic() + seconds
        while not (match := re.search(pattern, self.seen, re.S)):
            check(self.read(max(0, until - time.monotonic())), "the terminal does not show",
                  pattern, "but", self.seen[-2000:])
        self.seen = self.seen[match.end():]
        return match

    def say(self, line, pattern=rb"ready> $"):
        self.type(line + b"\r")
        return self.expect(pattern)

    def end(self, code=0):
        while self.read(20):
            pass
        _, status = os.waitpid(self.pid, 0)
        os.close(self.terminal)
        check(os.waitstatus_to_exitcode(status) == code, status, self.seen[-500:])


def shell(t):
    s = Session(t, "/bin/bash", "--norc", "--noprofile", "--noediting")
    s.expect(rb"ready> $")
    return s


def test_job_control(t):
    up(t)
    s = shell(t)
    s.say(b"echo $((6 * 7))", rb"\r\n42\r\nready> $")
    # Ctrl-C ends the job, not the shell.
    s.type(b"sleep 1000\r")
    s.expect(rb"sleep 1000\r\n")
    time.sleep(0.3)  # until the job has the terminal: nothing says so
    s.type(b"\x03")
    s.expect(rb"ready> $")
    s.say(b"echo code $?", rb"code 130\r\nready> $")
    # Ctrl-Z stops it; jobs, bg, fg.
    s.type(b"cat > typed\r")
    s.expect(rb"typed\r\n")
    s.type(b"first\r")
    s.expect(rb"first\r\n")
    time.sleep(0.3)
    s.type(b"\x1a")
    s.expect(rb"\[1\]\+ +Stopped +cat > typed\r\n.*ready> $")
    s.say(b"jobs", rb"\[1\]\+ +Stopped +cat > typed\r\nready> $")
    s.say(b"echo code $?", rb"code 0\r\nready> $")
    # In the background a read of the terminal stops it again (SIGTTIN).
    s.say(b"bg")
    s.say(b"wait; jobs", rb"Stopped +cat > typed\r\n.*ready> $")
    s.type(b"fg\r")
    s.expect(rb"fg\r\ncat > typed\r\n")
    s.type(b"second\r")
    s.expect(rb"second\r\n")
    s.type(b"\x04")
    s.expect(rb"ready> $")
    s.say(b"cat typed", rb"\r\nfirst\r\nsecond\r\nready> $")
    # Ctrl-\ and what a background job says of its end.
    s.type(b"sleep 1001\r")
    s.expect(rb"1001\r\n")
    time.sleep(0.3)
    s.type(b"\x1c")
    s.expect(rb"Quit.*ready> $")
    s.say(b"(exit 3) & wait $!; echo code $?", rb"code 3\r\n")
    s.type(b"\r")
    s.expect(rb"ready> $")
    s.say(b"set -m; sleep 50 | cat & kill %%; wait %% 2>/dev/null; echo code $?",
          rb"code 14[13]\r\n")
    s.type(b"exit 5\r")
    s.end(5)
    memory_is_free(t)
    t.call("down")


def test_terminal_size_and_modes(t):
    up(t)
    s = shell(t)
    s.say(b"stty size", rb"\r\n24 80\r\nready> $")
    s.say(b"trap 'echo resized' WINCH")
    s.resize(50, 132)
    s.expect(rb"resized|ready> $|$")
    s.say(b"stty size", rb"50 132\r\n.*ready> $")
    s.say(b"stty -echo; echo quiet", rb"\r\nquiet\r\nready> $")
    s.type(b"echo un''seen\r")
    check(b"''" not in s.expect(rb"unseen\r\nready> $")[0])
    s.say(b"stty echo")
    s.say(b"tty", rb"/dev/pts/\d+\r\nready> $")
    s.say(b"read -s -n 1 key; echo got $key", rb"$")
    s.type(b"k")
    s.expect(rb"got k\r\nready> $")
    s.type(b"exit\r")
    s.end()
    t.call("down")


def test_vi(t):
    vi = shutil.which("vim.tiny") or shutil.which("vi")
    up(t)
    with open(os.path.join(t.work, "text"), "w") as f:
        f.writelines(f"line {n}\n" for n in range(1, 101))
    s = Session(t, vi, "-u", "NONE", "text")
    s.expect(rb"line 1.*line 22")
    s.type(b"G")
    s.expect(rb"99.*100")
    s.type(b"onew at the end\x1b")
    s.expect(rb"new at the end")
    s.type(b"1Gdd:s/line/changed/\r")
    s.expect(rb"changed")
    s.type(b"\x1a")  # Ctrl-Z of a session's leader, whose group nobody controls: it goes on
    s.type(b":wq\r")
    s.end()
    with open(os.path.join(t.work, "text")) as f:
        lines = f.read().splitlines()
    check(lines[0] == "changed 2" and lines[-1] == "new at the end" and len(lines) == 100, lines)
    t.call("down")


def test_less(t):
    up(t)
    with open(os.path.join(t.work, "text"), "w") as f:
        f.writelines(f"line {n} of many\n" for n in range(1, 5001))
    s = Session(t, shutil.which("less"), "text")
    s.expect(rb"line 1 of many.*line 23 of many")
    s.type(b" ")
    s.expect(rb"line 46 of many")
    s.type(b"/line 4321 \r")
    s.expect(rb"4321")
    s.type(b"G")
    s.expect(rb"line 5000 of many")
    s.type(b"g")
    s.expect(rb"line 1 of many")
    s.type(b"q")
    s.end()
    t.call("down")


def test_top(t):
    up(t)
    s = Session(t, shutil.which("top"), "-d", "0.3")
    s.expect(rb"Tasks:.*%Cpu.*PID.*COMMAND.*top")
    s.expect(rb"Tasks")  # a second round
    s.type(b"q")
    s.end()
    t.call("down")


def test_python(t):
    up(t)
    s = Session(t, PYTHON, "-q", "-i")
    s.expect(rb">>> $")
    s.say(b"6 * 7", rb"42\r\n.*>>> $")
    # The line editor: the last line again, a part of it deleted.
    s.type(b"\x1b[A")
    s.expect(rb"6 \* 7")
    s.type(b"\x7f8\r")
    s.expect(rb"48\r\n.*>>> $")
    s.say(b"import time; time.sleep(1000)", rb"\r\n")
    time.sleep(0.5)
    s.type(b"\x03")
    s.expect(rb"KeyboardInterrupt\r\n.*>>> $")
    s.say(b"input('name? ')", rb"name\? $")
    s.say(b"ashlar", rb"'ashlar'\r\n.*>>> $")
    s.type(b"\x04")
    s.end()
    t.call("down")


if __name__ == "__main__":
    main(dict(globals()), sys.argv)
