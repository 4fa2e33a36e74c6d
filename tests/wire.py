"""The wire's frames and handshake, written a second time from proto/wire.h and docs/wire.md alone.

For tests that speak to a monitor as nobody who keeps to the rules would.
"""
import hashlib
import hmac
import os
import re
import socket
import struct

VERSION = 5
HEADER = struct.Struct("<IBBHIiQII")  # magic version flags op length status request_id epoch crc
MAGIC = 0x4c485341
REPLY = 1
FRAME_MAX, PREAUTH_FRAME_MAX, NONCE = 512 << 10, 256, 32
SCOPE_COMPONENT, SCOPE_PROCESS = 1, 2
ASH = {"VERSION": -5001, "MALFORMED": -5002, "TOO_BIG": -5003, "AUTH": -5004, "FORBIDDEN": -5005,
       "UNKNOWN_OP": -5006, "CORRUPT": -5015}


def operations():
    """Every message of the table: {name: code}."""
    table = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../proto/messages.def")
    with open(table) as f:
        return {name: int(code, 16)
                for name, code in re.findall(r"^message (\w+) (0x\w+)", f.read(), re.M)}


OPS = operations()

CRC_TABLE = []
for byte in range(256):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82f63b78 if byte & 1 else 0)
    CRC_TABLE.append(byte)


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xff] ^ crc >> 8
    return crc ^ 0xffffffff


def frame(op, payload=b"", version=VERSION, flags=0, length=None, status=0, request=1, crc=None):
    length = len(payload) if length is None else length
    head = HEADER.pack(MAGIC, version, flags, op, length, status, request, 0, 0)[:-4]
    return head + struct.pack("<I", crc32c(head + payload) if crc is None else crc) + payload


class Peer:
    """A connection whose user decides every byte."""

    def __init__(self, address, key=None, timeout=10):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=timeout)
        self.key = key
        self.sent = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """Sends as much as the other end takes; it may have closed."""
        self.sent += data
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def receive(self):
        """(op, status, payload) of the next frame; None where the other end has closed."""
        head = self.exactly(HEADER.size)
        if head is None:
            return None
        fields = HEADER.unpack(head)
        payload = self.exactly(fields[4])
        return None if payload is None else (fields[3], fields[5], payload)

    def exactly(self, size):
        data = b""
        while len(data) < size:
            try:
                piece = self.socket.recv(size - len(data))
            except ConnectionResetError:
                return None
            if not piece:
                return None
            data += piece
        return data

    def request(self, op, payload=b"", **fields):
        self.send(frame(op, payload, **fields))
        return self.receive()

    def closed(self):
        """Whether the other end closes, whatever it says before."""
        try:
            while self.socket.recv(1 << 16):
                pass
            return True
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    def proof(self, label, versions, client, server):
        text = label.ljust(14, b"\0") + struct.pack("<HHH", *versions) + client + server
        return hmac.new(self.key, text, hashlib.sha256).digest()

    def hello(self, lowest=VERSION, highest=VERSION):
        self.client_nonce = os.urandom(NONCE)
        answer = self.request(OPS["HELLO"],
                              struct.pack("<HH", lowest, highest) + self.client_nonce)
        if answer and answer[1] == 0:
            self.server_nonce, self.server_proof = answer[2][2:34], answer[2][34:66]
        return answer

    def authenticate(self):
        self.hello()
        versions = (VERSION, VERSION, VERSION)
        assert self.server_proof == self.proof(b"ashlar server", versions, self.client_nonce,
                                               self.server_nonce)
        return self.request(OPS["PROOF"], self.proof(b"ashlar client", versions,
                                                     self.client_nonce, self.server_nonce))

    def bind(self, scope=SCOPE_COMPONENT, asid=0, run=0, writable=b""):
        text = writable + b"\0"
        return self.request(OPS["BIND"],
                            struct.pack("<BQQQH", scope, asid, run, 0, len(text)) + text)

    def ping(self):
        """{requests, refused, used_bytes, cached_bytes, size_bytes} of an authenticated peer."""
        _, status, payload = self.request(OPS["PING"])
        assert status == 0, status
        names = ("requests", "refused", "used_bytes", "cached_bytes", "size_bytes", "single",
                 "replica_bytes", "logged_bytes")
        return dict(zip(names, struct.unpack("<5QI2Q", payload)))


def connect(address, key, **bind):
    """A peer that keeps to the rules, so far."""
    peer = Peer(address, key)
    for answer in (peer.authenticate(), peer.bind(**bind)):
        assert answer and answer[1] == 0, answer
    return peer
