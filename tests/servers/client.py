#!/usr/bin/python3
"""A client that knows what a server must answer; it runs outside and inside.

usage: client.py redis|memcached|http PORT load|check|both COUNT [SEED [FROM]]

redis, memcached: COUNT values of some 1000 bytes, derived from SEED and their key, are stored, read
back and compared, over several connections at once, in batches. http: COUNT files f0, f1... of a
server are fetched and compared with what made() says of them. Prints one line; exit code 1 where
an answer is wrong.
"""
import hashlib
import http.client
import socket
import sys
import threading

CONNECTIONS = 4
BATCH = 50


def made(seed, n):
    """Between 600 and 1400 bytes, other ones for each n."""
    digest = hashlib.sha256(f"{seed} {n}".encode()).hexdigest().encode()
    return (digest * 22)[:600 + int(digest[:4], 16) % 800]


class Redis:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.file = self.socket.makefile("rb")

    def send(self, *commands):
        parts = []
        for command in commands:
            parts.append(b"*%d\r\n" % len(command))
            parts += [b"$%d\r\n%s\r\n" % (len(word), word) for word in command]
        self.socket.sendall(b"".join(parts))

    def answer(self):
        line = self.file.readline()
        if line[:1] != b"$":
            return line.strip()
        size = int(line[1:])
        return None if size < 0 else self.file.read(size + 2)[:-2]

    def load(self, seed, numbers):
        self.send(*((b"SET", b"key:%d" % n, made(seed, n)) for n in numbers))
        return sum(self.answer() != b"+OK" for n in numbers)

    def check(self, seed, numbers):
        self.send(*((b"GET", b"key:%d" % n) for n in numbers))
        return sum(self.answer() != made(seed, n) for n in numbers)


class Memcached:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.file = self.socket.makefile("rb")

    def load(self, seed, numbers):
        values = [made(seed, n) for n in numbers]
        self.socket.sendall(b"".join(b"set key:%d 7 0 %d\r\n%s\r\n" % (n, len(value), value)
                                     for n, value in zip(numbers, values)))
        return sum(self.file.readline() != b"STORED\r\n" for n in numbers)

    def check(self, seed, numbers):
        self.socket.sendall(b"get %s\r\n" % b" ".join(b"key:%d" % n for n in numbers))
        found = {}
        while (line := self.file.readline()) not in (b"END\r\n", b""):
            _, key, flags, size = line.split()
            found[key] = (flags, self.file.read(int(size) + 2)[:-2])
        return sum(found.get(b"key:%d" % n) != (b"7", made(seed, n)) for n in numbers)


class Http:
    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port)

    def check(self, seed, numbers):
        wrong = 0
        for n in numbers:
            self.connection.request("GET", f"/f{n}")
            response = self.connection.getresponse()
            wrong += (response.status, response.read()) != (200, made(seed, n) * 50)
        return wrong


def work(kind, port, what, seed, numbers, wrong):
    client = kind(port)
    for start in range(0, len(numbers), BATCH):
        batch = numbers[start:start + BATCH]
        for step in ("load", "check") if what == "both" else (what,):
            wrong.append(getattr(client, step)(seed, batch))


def main():
    kind = {"redis": Redis, "memcached": Memcached, "http": Http}[sys.argv[1]]
    port, what, count = int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    seed = sys.argv[5] if len(sys.argv) > 5 else "1"
    first = int(sys.argv[6]) if len(sys.argv) > 6 else 0
    wrong, threads = [], []
    for part in range(CONNECTIONS):
        numbers = range(first + part, first + count, CONNECTIONS)
        threads.append(threading.Thread(target=work, args=(kind, port, what, seed, numbers, wrong)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = sum(-(-len(range(part, count, CONNECTIONS)) // BATCH) for part in range(CONNECTIONS))
    batches = expected * (2 if what == "both" else 1)
    print(f"{what} {count}: {len(wrong)} of {batches} batches, {sum(wrong)} wrong", flush=True)
    sys.exit(len(wrong) != batches or sum(wrong) != 0)


if __name__ == "__main__":
    main()
