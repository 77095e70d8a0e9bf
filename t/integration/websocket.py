# SPDX-License-Identifier: Apache-2.0
"""WebSocket, RFC 6455: handshakes and frames over whatever moves bytes."""
import base64
import hashlib
import os
import struct

from origin import read_request
from wire import Stream

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def accept(key):
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


def handshake(path="/", host="a.test", version="13", key=KEY, extra=()):
    """The bytes of a client's opening handshake over HTTP/1.1."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: Upgrade", "Upgrade: websocket"]
    if version:
        lines.append(f"Sec-WebSocket-Version: {version}")
    if key:
        lines.append(f"Sec-WebSocket-Key: {key}")
    return "\r\n".join([*lines, *extra, "", ""]).encode()


def answer(fields, extra=(), proof=None):
    """The bytes of a server's, to a request with these fields."""
    names = {n.lower(): v for n, v in fields}
    assert names["upgrade"] == "websocket" and "upgrade" in names["connection"].lower()
    assert names["sec-websocket-version"] == "13"
    proof = proof or accept(names["sec-websocket-key"])
    return "\r\n".join(["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade",
                        "Upgrade: websocket", f"Sec-WebSocket-Accept: {proof}", *extra,
                        "", ""]).encode()


class Socket:
    """Frames over stream, which has exactly(count), and send(bytes). masks: a client's end."""

    def __init__(self, stream, send, masks):
        self.stream, self.send_bytes, self.masks = stream, send, masks

    def send(self, opcode, payload=b"", final=True, rsv=0):
        head = bytes([final << 7 | rsv << 4 | opcode])
        mask_bit = 0x80 if self.masks else 0
        if len(payload) < 126:
            head += bytes([mask_bit | len(payload)])
        elif len(payload) < 1 << 16:
            head += struct.pack(">BH", mask_bit | 126, len(payload))
        else:
            head += struct.pack(">BQ", mask_bit | 127, len(payload))
        if self.masks:
            mask = os.urandom(4)
            head += mask
            payload = xor(payload, mask)
        self.send_bytes(head + payload)

    def receive(self):
        """(opcode, payload, final, rsv) of one frame."""
        first, second = self.stream.exactly(2)
        size = second & 0x7f
        if size == 126:
            size, = struct.unpack(">H", self.stream.exactly(2))
        elif size == 127:
            size, = struct.unpack(">Q", self.stream.exactly(8))
        assert bool(second & 0x80) != self.masks
        mask = self.stream.exactly(4) if second & 0x80 else b"\0\0\0\0"
        payload = xor(self.stream.exactly(size), mask)
        return first & 0x0f, payload, bool(first & 0x80), first >> 4 & 7


def xor(data, mask):
    if not any(mask) or not data:
        return data
    pad = mask * (len(data) // 4 + 1)
    size = len(data)
    return (int.from_bytes(data, "big") ^ int.from_bytes(pad[:size], "big")).to_bytes(size, "big")


def echo_frames(socket):
    """Sends back every frame as it came, the close too."""
    while True:
        opcode, payload, final, rsv = socket.receive()
        socket.send(opcode, payload, final, rsv)
        if opcode == CLOSE:
            return


def echo_handler(sock, _origin):
    """For origin.Origin, over HTTP/1.1."""
    stream = Stream(sock)
    _, _, fields, _, _ = read_request(stream)
    sock.sendall(answer(fields))
    echo_frames(Socket(stream, sock.sendall, masks=False))
