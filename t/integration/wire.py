# SPDX-License-Identifier: Apache-2.0
"""Bytes on sockets: a client that says exactly what it is told to say, and a
reader of responses that is strict about where they end."""
import itertools
import random
import socket
import ssl
import struct
import threading
import time

TIMEOUT_S = 20  # a test that waits as long has failed


def wait_until(condition, what="the condition", timeout=TIMEOUT_S):
    """The first true value of condition()."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {timeout} s")
        time.sleep(0.01)


def ports_of_nobody():
    """Below those that Linux hands out by itself: a backend or a client could get the one that a
    gateway is about to bind. From anywhere on, for those who test at the same time."""
    first, count = 10000, 10000
    start = random.SystemRandom().randrange(count)
    return itertools.cycle(first + (start + i) % count for i in range(count))


PORTS = ports_of_nobody()


def free_port():
    for port in PORTS:
        with socket.socket() as s:
            try:
                s.bind(("", port))
                return port
            except OSError:
                pass  # somebody has it


HELD = []


def refusing_port():
    """A port that refuses connections, and that nobody else gets as long as the tests run."""
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    HELD.append(s)
    return s.getsockname()[1]


LOCAL = itertools.count(256)


def fresh_address():
    """A loopback address for one client, to be found in logs by it: ports come again."""
    number = next(LOCAL)
    return f"127.1.{number >> 8}.{number & 255}"


def connect(port, timeout=TIMEOUT_S, source=None):
    s = socket.create_connection(("127.0.0.1", port), timeout, source and (source, 0))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def connect_tls(port, name, ca, pair=None, alpn=(), **options):
    """A verified TLS connection; pair: client certificate."""
    context = client_context(ca, pair, alpn)
    for key, value in options.items():
        setattr(context, key, value)
    return context.wrap_socket(connect(port), server_hostname=name)


def reset(sock):
    """Closes with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class SharedTls:
    """TLS over a connected socket that one thread may read while another sends: Python's own
    sockets break when two threads are in one at once."""

    def __init__(self, sock, name, context):
        self.sock = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)
        self.lock, self.order = threading.Lock(), threading.Lock()
        self.read_until(self.tls.do_handshake)

    def flush(self):
        with self.order:
            with self.lock:
                data = self.outgoing.read()
            self.sock.sendall(data)

    def read_until(self, action):
        while True:
            try:
                with self.lock:
                    result = action()
                self.flush()
                return result
            except ssl.SSLWantReadError:
                self.flush()
            data = self.sock.recv(65536)
            with self.lock:
                if data:
                    self.incoming.write(data)
                else:
                    self.incoming.write_eof()

    def recv(self, size):
        try:
            return self.read_until(lambda: self.tls.read(size))
        except ssl.SSLZeroReturnError:
            return b""

    def sendall(self, data):
        view = memoryview(data)
        while view:
            with self.lock:
                count = self.tls.write(view[:65536])
            view = view[count:]
            self.flush()

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def client_context(ca, pair=None, alpn=()):
    context = ssl.create_default_context(cafile=str(ca.cert))
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if pair is not None:
        context.load_cert_chain(pair.cert, pair.key)
    return context


def read_all(sock):
    """Everything until the peer's end; a reset counts as an end."""
    data = b""
    try:
        while True:
            piece = sock.recv(65536)
            if not piece:
                return data
            data += piece
    except ConnectionResetError:
        return data


class Response:
    def __init__(self, status, fields, body, trailers=()):
        self.status, self.fields, self.body = status, fields, body
        self.trailers = list(trailers)

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def get(self, name):
        values = self.all(name)
        return values[0] if values else None


class Stream:
    """Reads HTTP messages from a socket."""

    def __init__(self, sock):
        self.sock, self.data = sock, b""

    def more(self):
        piece = self.sock.recv(65536)
        if not piece:
            raise EOFError(f"the connection ended after {self.data[-200:]!r}")
        self.data += piece

    def until(self, end):
        while end not in self.data:
            self.more()
        head, self.data = self.data.split(end, 1)
        return head

    def exactly(self, count):
        while len(self.data) < count:
            self.more()
        piece, self.data = self.data[:count], self.data[count:]
        return piece

    def head(self):
        """(first line, fields)."""
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        fields = [tuple(p.strip() for p in line.split(":", 1)) for line in lines[1:]]
        return lines[0], fields

    def chunked(self):
        """(body, trailers)."""
        body = b""
        while True:
            size = int(self.until(b"\r\n").split(b";")[0], 16)
            if size == 0:
                break
            body += self.exactly(size)
            assert self.exactly(2) == b"\r\n"
        trailers = []
        while True:
            line = self.until(b"\r\n").decode("latin-1")
            if not line:
                return body, trailers
            trailers.append(tuple(p.strip() for p in line.split(":", 1)))

    def to_end(self):
        data, self.data = self.data, b""
        return data + read_all(self.sock)

    def response(self, method="GET"):
        first, fields = self.head()
        version, status = first.split(" ")[:2]
        assert version in ("HTTP/1.1", "HTTP/1.0"), first
        status = int(status)
        names = {n.lower(): v for n, v in fields}
        if method == "HEAD" or status < 200 or status in (204, 304):
            return Response(status, fields, b"")
        if "transfer-encoding" in names:
            assert names["transfer-encoding"] == "chunked" and "content-length" not in names
            body, trailers = self.chunked()
            return Response(status, fields, body, trailers)
        if "content-length" in names:
            return Response(status, fields, self.exactly(int(names["content-length"])))
        return Response(status, fields, self.to_end())


def request(port, target, method="GET", host="a.test", fields=(), body=None, sock=None):
    """One request on a connection of its own (or on sock, which stays open)."""
    own = sock is None
    sock = connect(port) if own else sock
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{n}: {v}" for n, v in fields]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    if own:
        lines.append("Connection: close")
    try:
        sock.sendall("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b""))
        return Stream(sock).response(method)
    finally:
        if own:
            sock.close()


def talk(port, data, timeout=TIMEOUT_S):
    """Sends data, closes the sending side, returns all that comes back."""
    with connect(port, timeout) as s:
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused early: the answer is what counts
        return read_all(s)
