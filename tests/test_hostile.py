#!/usr/bin/python3
"""Hostile messages to every monitor: refused and counted, and nothing else happens."""
import os
import random
import struct
import sys

from racks import await_true, check, main, up
from wire import (ASH, FRAME_MAX, OPS, PREAUTH_FRAME_MAX, REPLY, SCOPE_PROCESS, Peer, connect,
                  frame)

KINDS = ("global", "memory", "storage", "process")
ROUNDS = 150
GROWTH_BYTES = 4 << 20  # what a monitor may grow by under all that: its allocator's pools


class Target:
    """A monitor under attack, and a well-behaved connection to ask it how it is."""

    def __init__(self, t, component):
        self.name, self.pid, self.address = component["id"], component["pid"], component["address"]
        self.friend = connect(self.address, t.key)
        self.key = t.key

    def refused(self):
        return self.friend.ping()["refused"]

    def refuses(self, attack, what, closes=True, at_least=1):
        """Runs attack(peer): it must be counted, and the monitor must go on."""
        before = self.refused()
        with Peer(self.address, self.key) as peer:
            attack(peer)
            if closes:
                check(peer.closed(), f"{self.name}, {what}: the connection is not closed")
        await_true(lambda: self.refused() >= before + at_least,
                   f"{self.name}, {what}: counted as refused")
        with connect(self.address, self.key) as other:
            other.ping()


def rack(t):
    up(t)
    with open(f"{t.base()}/default/key", "rb") as f:
        t.key = f.read()
    first = {}
    for component in t.components().values():
        first.setdefault(component["kind"], component)
    return [Target(t, first[kind]) for kind in KINDS]


def answers(peer, reply, status, what):
    check(reply is None or reply[1] == ASH[status], what, reply)


def test_bytes_that_are_no_messages(t):
    for target in rack(t):
        chance = random.Random(3)
        target.refuses(lambda p: p.send(chance.randbytes(4096)), "garbage")
        target.refuses(lambda p: p.send(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n" + b" " * 64), "http")
        target.refuses(lambda p: p.send(b"\0" * 65536), "zeros")
        for size in (1, 31):
            target.refuses(lambda p: (p.send(frame(OPS["HELLO"], bytes(36))[:size]),
                                      p.socket.shutdown(1)), f"the first {size} bytes of a header")
        target.refuses(lambda p: (p.send(frame(OPS["HELLO"], bytes(36))[:50]),
                                  p.socket.shutdown(1)), "half a payload")
    t.call("down")


def test_messages_of_strangers(t):
    """Nothing is served to whom has not authenticated, however it is asked for."""
    for target in rack(t):
        for name, op in OPS.items():
            if name != "HELLO":
                target.refuses(lambda p: p.send(frame(op, bytes(8))), f"{name} before HELLO")
        target.refuses(lambda p: answers(p, p.request(OPS["HELLO"], bytes(36), version=9),
                                         "VERSION", "header's version"), "a wrong version")
        target.refuses(lambda p: answers(p, p.hello(90, 99), "VERSION", "hello's versions"),
                       "versions that are not spoken")
        target.refuses(lambda p: p.send(frame(OPS["HELLO"], bytes(35))), "a short HELLO")
        target.refuses(lambda p: p.send(frame(OPS["HELLO"], bytes(37))), "a long HELLO")
        target.refuses(lambda p: answers(p, p.request(OPS["HELLO"], bytes(36), crc=1), "CORRUPT",
                                         "crc"), "a wrong checksum")
        for length in (PREAUTH_FRAME_MAX + 1, FRAME_MAX, 0xffffffff):
            target.refuses(lambda p: answers(p, p.request(OPS["HELLO"], length=length), "TOO_BIG",
                                             "length"), f"a HELLO of {length} bytes")
    t.call("down")


def test_peers_without_the_key(t):
    for target in rack(t):
        def wrong_key(p):
            p.hello()
            p.key = bytes(32)
            answers(p, p.request(OPS["PROOF"], p.proof(b"ashlar client", (1, 1, 1), p.client_nonce,
                                                       p.server_nonce)), "AUTH", "a wrong key")
            check(p.closed(), "it goes on with a peer of another key")

        def reflected(p):
            p.hello()
            answers(p, p.request(OPS["PROOF"], p.server_proof), "AUTH", "its own proof")

        def skipped(p):
            p.hello()
            answers(p, p.bind(), "AUTH", "no proof")

        target.refuses(wrong_key, "a wrong key")
        target.refuses(reflected, "its own proof sent back")
        target.refuses(skipped, "BIND without PROOF")
        # A recorded handshake: what served once must not serve again.
        with connect(target.address, target.key) as honest:
            honest.ping()
            recorded = honest.sent
        target.refuses(lambda p: p.send(recorded), "a replayed session")
    t.call("down")


def test_bad_messages_of_friends(t):
    """Peers that hold the key are believed no more than their messages make sense."""
    for target in rack(t):
        def after(attack, **bind):
            def whole(p):
                p.authenticate()
                check(p.bind(**bind)[1] == 0, "bind")
                attack(p)
            return whole

        def status(op, payload, wanted, **fields):
            def attack(p):
                reply = p.request(op, payload, **fields)
                check(reply is None or reply[1] == ASH[wanted], target.name, hex(op), reply)
            return attack

        def refuses(attack, what, closes=True, **bind):
            target.refuses(after(attack, **bind), what, closes)

        ping = OPS["PING"]
        refuses(status(ping, b"", "VERSION", version=90), "a wrong version")
        refuses(status(ping, b"", "TOO_BIG", length=FRAME_MAX + 1), "an oversized message")
        refuses(status(ping, b"", "CORRUPT", crc=7), "a wrong checksum")
        refuses(lambda p: p.send(bytes(32)), "no magic")
        refuses(lambda p: p.send(frame(ping, flags=REPLY)), "a reply to nothing")
        refuses(status(ping, b"x", "MALFORMED"), "a PING with a body", closes=False)
        refuses(status(0x7777, b"", "UNKNOWN_OP"), "an unknown operation", closes=False)
        refuses(lambda p: check(p.bind()[1] == ASH["FORBIDDEN"], "bound twice"), "BIND twice",
                closes=False)
        refuses(lambda p: check(p.bind()[1] == ASH["FORBIDDEN"], "more than its capability"),
                "a process that asks for more", closes=False, scope=SCOPE_PROCESS, asid=1, run=1)
    t.call("down")


def bodies(chance):
    """Bodies that fit no message: too short, too long, and lists that promise too much."""
    yield b"\xff"
    yield chance.randbytes(chance.randrange(1, 64))
    yield b"\xff" * 64
    yield struct.pack("<QI", 1, 0xffffffff) + bytes(20)
    yield struct.pack("<QQIB", 1, 1, 0x7fffffff, 0)
    yield struct.pack("<I", 0xffffffff)
    yield chance.randbytes(5000)


def test_bad_bodies_of_every_message(t):
    """A friend's malformed requests of every kind: answered, refused, and served on."""
    for target in rack(t):
        chance = random.Random(4)
        before = target.refused()
        sent = 0
        for name, op in OPS.items():
            if name in ("HELLO", "PROOF", "BIND", "PING", "ELSEWHERE"):
                continue
            for scope in (1, SCOPE_PROCESS):
                with connect(target.address, target.key, scope=scope, asid=1, run=1) as peer:
                    for body in bodies(chance):
                        reply = peer.request(op, body)
                        sent += 1
                        check(reply is None or reply[1] < 0, f"{target.name} served {name} to "
                              f"scope {scope} from {len(body)} bytes {body[:30]!r}: {reply}")
                        if reply is None:
                            break
        counted = target.refused() - before
        check(counted >= sent // 2, f"{target.name} counted {counted} of {sent}")
    t.call("down")


def memory_of(pid):
    """Bytes of a process that are its own: not what it has mapped from files."""
    with open(f"/proc/{pid}/status") as f:
        fields = dict(line.split(":", 1) for line in f)
    return int(fields["RssAnon"].split()[0]) << 10, int(fields["Threads"])


def test_many_of_them(t):
    """A long attack leaves a monitor as it was: memory, threads, descriptors."""
    for target in rack(t):
        def attack(rounds):
            chance = random.Random(5)
            for _ in range(rounds):
                with Peer(target.address, target.key) as p:
                    p.send(chance.randbytes(200))
                with Peer(target.address, target.key) as p:
                    p.request(OPS["HELLO"], length=0xfffffff)
                with Peer(target.address, target.key) as p:
                    p.hello()
                    p.request(OPS["PROOF"], bytes(32))
                with connect(target.address, target.key) as p:
                    p.request(OPS["LINE_WRITE"], struct.pack("<QI", 1, 0xffff) + bytes(2000))
                    p.request(OPS["SPACE_OPS"], b"\xff" * 5000)
                    p.send(frame(OPS["PING"], length=FRAME_MAX))

        def descriptors():
            return len(os.listdir(f"/proc/{target.pid}/fd"))

        attack(30)  # what a monitor allocates once
        before, before_refused = memory_of(target.pid)[0], target.refused()
        attack(ROUNDS)
        # Every attacker has closed: their threads and descriptors go.
        await_true(lambda: memory_of(target.pid)[1] <= 40 and descriptors() <= 60,
                   f"{target.name} without its attackers' threads and descriptors")
        after = memory_of(target.pid)[0]
        check(after - before <= GROWTH_BYTES,
              f"{target.name} grew from {before} to {after} bytes")
        counted = target.refused() - before_refused
        check(counted >= 5 * ROUNDS, f"{target.name} counted {counted} refusals")
    check(t.status()["health"] == "ok")
    t.call("down")


def test_silent_peers(t):
    """Connections that say nothing keep nobody out, and are dropped."""
    for target in rack(t):
        silent = [Peer(target.address) for _ in range(150)]
        with connect(target.address, target.key) as friend:
            friend.ping()
        check(all(p.closed() for p in silent), f"{target.name} keeps silent peers")
        for p in silent:
            p.socket.close()
    t.call("down")


if __name__ == "__main__":
    main(dict(globals()), sys.argv)
