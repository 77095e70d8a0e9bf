# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 frame by frame, from either end: what is sent is what the test says,
right or wrong; what comes back is read strictly."""
import select
import struct

from hpack import Decoder, Encoder

from wire import TIMEOUT_S, connect

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, \
    CONTINUATION, ALTSVC = range(11)
ORIGIN = 12
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 7, 8, 11
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 1, 2, 3, 4
MAX_HEADER_LIST_SIZE = 6


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(*pairs):
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *p) for p in pairs))


def number(kind, stream, value):
    """RST_STREAM, WINDOW_UPDATE."""
    return frame(kind, 0, stream, struct.pack(">I", value))


def goaway(last, code=NO_ERROR):
    return frame(GOAWAY, 0, 0, struct.pack(">II", last, code))


def literal(data):
    """A string of HPACK, without Huffman (RFC 7541 5.2)."""
    if len(data) < 127:
        return bytes([len(data)]) + data
    out, rest = bytearray([127]), len(data) - 127
    while rest >= 128:
        out.append(rest % 128 | 128)
        rest //= 128
    return bytes(out) + bytes([rest]) + data


def raw_block(fields):
    """Fields as literals that leave no trace in the table; nothing is checked."""
    return b"".join(b"\0" + literal(n) + literal(v)
                    for n, v in ((n.encode("latin-1") if isinstance(n, str) else n,
                                  v.encode("latin-1") if isinstance(v, str) else v)
                                 for n, v in fields))


def headers(stream, fields, end=True, more=False):
    """HEADERS; more: without END_HEADERS."""
    flags = (END_STREAM if end else 0) | (0 if more else END_HEADERS)
    return frame(HEADERS, flags, stream, raw_block(fields))


def request_fields(path="/", *more, method="GET", scheme="http", authority="a.test"):
    return [(":method", method), (":scheme", scheme), (":path", path),
            (":authority", authority), *more]


class Frame:
    def __init__(self, kind, flags, stream, payload):
        self.kind, self.flags, self.stream, self.payload = kind, flags, stream, payload
        self.fields = None

    @property
    def ended(self):
        return self.kind in (DATA, HEADERS) and bool(self.flags & END_STREAM)

    def number(self, at=0):
        return struct.unpack_from(">I", self.payload, at)[0]

    def __repr__(self):
        return f"Frame({self.kind}, {self.flags}, {self.stream}, {self.payload[:40]!r})"


class Answer:
    def __init__(self):
        self.status, self.fields, self.body, self.trailers = None, [], b"", []
        self.interims = []
        self.reset = None  # the code of RST_STREAM, -1: the connection ended
        self.ended = False


class Peer:
    """Either end of a connection, after the prefaces."""

    def __init__(self, sock):
        self.sock, self.data = sock, b""
        self.encoder, self.decoder = Encoder(), Decoder()
        self.goaway = None  # its code
        self.quiet = False  # True: neither settings nor pings are acknowledged

    def send(self, *pieces):
        """False: the other end has gone."""
        try:
            self.sock.sendall(b"".join(pieces))
            return True
        except OSError:
            return False

    def block(self, fields):
        return self.encoder.encode(fields)

    def take(self):
        """The first frame of what was received, or None."""
        if len(self.data) < 9:
            return None
        size = int.from_bytes(self.data[:3], "big")
        if len(self.data) < 9 + size:
            return None
        kind, flags, stream = struct.unpack(">BBI", self.data[3:9])
        got = Frame(kind, flags, stream & 0x7fffffff, self.data[9:9 + size])
        self.data = self.data[9 + size:]
        self.note(got)
        return got

    def note(self, got):
        if got.kind == GOAWAY:
            self.goaway = got.number(4)
        elif got.kind == HEADERS:
            payload = got.payload
            if got.flags & PADDED:
                payload = payload[1:len(payload) - payload[0]]
            if got.flags & 0x20:
                payload = payload[5:]
            assert got.flags & END_HEADERS
            got.fields = [(n, v) for n, v in self.decoder.decode(payload)]
        elif self.quiet:
            return
        elif got.kind == SETTINGS and not got.flags & ACK:
            self.send(frame(SETTINGS, ACK))
        elif got.kind == PING and not got.flags & ACK:
            self.send(frame(PING, ACK, 0, got.payload))

    def read(self):
        """The next frame; None at the end of the connection, however it came."""
        while True:
            got = self.take()
            if got is not None:
                return got
            try:
                piece = self.sock.recv(65536)
            except (ConnectionResetError, BrokenPipeError):
                return None
            if not piece:
                return None
            self.data += piece

    def drain(self):
        """Takes what is here without waiting. False: the connection is over."""
        while True:
            while self.take() is not None:
                pass
            if not select.select([self.sock], [], [], 0)[0]:
                return True
            try:
                piece = self.sock.recv(65536)
            except OSError:
                return False
            if not piece:
                return False
            self.data += piece

    def expect(self, kind, stream=None):
        while True:
            got = self.read()
            assert got is not None, f"the connection ended before a frame of type {kind}"
            if got.kind == kind and stream in (None, got.stream):
                return got

    def end(self):
        """Reads to the end of the connection; the code of its GOAWAY, None: there was none."""
        while self.read() is not None:
            pass
        return self.goaway

    def sync(self):
        """Waits until all that was sent was dealt with; False: the connection is over."""
        if not self.send(frame(PING, 0, 0, b"are-here")):
            return False
        while True:
            got = self.read()
            if got is None:
                return False
            if got.kind == PING and got.flags & ACK:
                return True

    def flood(self, piece, count, batch=250, sync=False):
        """Sends piece(i) count times while reading; how many went out before the end."""
        for first in range(0, count, batch):
            if not (self.sync() if sync else self.drain()):
                return first
            if not self.send(b"".join(piece(i) for i in range(first, first + batch))):
                return first
        return count


class Client(Peer):
    def __init__(self, port, *pairs, sock=None):
        super().__init__(sock if sock is not None else connect(port, TIMEOUT_S))
        self.next = 1
        self.send(PREFACE, settings(*pairs))

    def new_stream(self):
        self.next += 2
        return self.next - 2

    def request(self, path="/", *more, end=True, **kind):
        stream = self.new_stream()
        self.send(headers(stream, request_fields(path, *more, **kind), end))
        return stream

    def answer(self, stream):
        """The whole response on a stream; others are passed over. Windows are kept open."""
        out = Answer()
        while not out.ended and out.reset is None:
            got = self.read()
            if got is None:
                out.reset = -1
            elif got.stream == stream:
                self.collect(out, got)
        return out

    def collect(self, out, got):
        if got.kind == RST_STREAM:
            out.reset = got.number()
            return
        if got.kind == DATA:
            out.body += got.payload
            if got.payload and not got.ended:
                self.send(number(WINDOW_UPDATE, 0, len(got.payload)),
                          number(WINDOW_UPDATE, got.stream, len(got.payload)))
        elif got.kind == HEADERS:
            status = dict(got.fields).get(":status")
            if status is None:
                out.trailers = got.fields
            elif status.startswith("1"):
                out.interims.append(int(status))
            else:
                out.status, out.fields = int(status), got.fields
        out.ended = got.ended

    def get(self, path="/", *more, **kind):
        return self.answer(self.request(path, *more, **kind))

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Server(Peer):
    """A backend's side of a connection: reads the preface, sends settings."""

    def __init__(self, sock, *pairs):
        super().__init__(sock)
        while len(self.data) < len(PREFACE):
            piece = sock.recv(65536)
            if not piece:
                raise EOFError("no preface")
            self.data += piece
        assert self.data.startswith(PREFACE), self.data
        self.data = self.data[len(PREFACE):]
        self.send(settings(*pairs))

    def request(self):
        """(stream, fields, body) of the next request that is whole, or None at the end."""
        bodies, heads = {}, {}
        while True:
            got = self.read()
            if got is None:
                return None
            if got.kind == RST_STREAM:
                heads.pop(got.stream, None)
            if got.kind == HEADERS and got.stream not in heads:
                heads[got.stream] = got.fields
                bodies[got.stream] = b""
            if got.kind == DATA:
                bodies[got.stream] = bodies.get(got.stream, b"") + got.payload
                if got.payload:
                    self.send(number(WINDOW_UPDATE, 0, len(got.payload)))
            if got.ended and got.stream in heads:
                return got.stream, dict(heads[got.stream]), bodies[got.stream]

    def respond(self, stream, body=b"ok", *more, status="200"):
        self.send(headers(stream, [(":status", status), *more], not body))
        if body:
            self.send(frame(DATA, END_STREAM, stream, body))


def good_handler(sock, _origin):
    """Every request is answered with its path."""
    server = Server(sock)
    while True:
        got = server.request()
        if got is None:
            return
        server.respond(got[0], got[1][":path"].encode())
