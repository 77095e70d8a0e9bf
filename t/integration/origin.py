# SPDX-License-Identifier: Apache-2.0
"""Backends in threads: each records every byte it got, by connection."""
import hashlib
import json
import socket
import ssl
import threading

from wire import TIMEOUT_S, Stream, reset


class Recorded:
    """A socket that keeps what it received."""

    def __init__(self, sock, log):
        self.sock, self.log = sock, log

    def recv(self, size):
        data = self.sock.recv(size)
        self.log += data
        return data

    def __getattr__(self, name):
        return getattr(self.sock, name)

    def reset(self):
        reset(self.sock)


class Origin:
    """handler(recorded socket, origin) serves one connection in a thread of its own."""

    def __init__(self, handler=None, context=None, name="origin"):
        self.handler, self.context, self.name = handler or http_handler, context, name
        self.connections = []  # bytearray a connection
        self.errors = []
        self.stop = threading.Event()
        self.sockets = []
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(512)
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        while not self.stop.is_set():
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.settimeout(TIMEOUT_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        log = bytearray()
        self.sockets.append(sock)
        try:
            if self.context is not None:
                sock = self.context.wrap_socket(sock, server_side=True)
            self.connections.append(log)
            self.handler(Recorded(sock, log), self)
        except (OSError, EOFError, ssl.SSLError) as error:
            self.errors.append(error)
        finally:
            try:
                sock.close()
            except OSError:
                pass

    @property
    def data(self):
        """All bytes of all connections."""
        return b"".join(bytes(c) for c in list(self.connections))

    def close(self):
        self.stop.set()
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for sock in self.sockets:
            try:
                sock.close()
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def read_request(stream):
    """(method, target, fields, body, trailers)."""
    first, fields = stream.head()
    method, target, _ = first.split(" ")
    names = {n.lower(): v for n, v in fields}
    if "100-continue" in names.get("expect", ""):
        stream.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    if "transfer-encoding" in names:
        return (method, target, fields) + stream.chunked()
    return method, target, fields, stream.exactly(int(names.get("content-length", 0))), []


def http_answer(sock, body, status="200 OK", fields=(), head=False):
    lines = [f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(body)}"]
    sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if head else body))


def peer_uri(sock):
    if not isinstance(sock, ssl.SSLSocket):
        return None
    names = (sock.getpeercert() or {}).get("subjectAltName", ())
    return next((v for kind, v in names if kind == "URI"), "")


def http_handler(sock, origin):
    """Answers every request with what it saw of it, as JSON."""
    stream = Stream(sock)
    while True:
        method, target, fields, body, trailers = read_request(stream)
        seen = {"origin": origin.name, "method": method, "target": target, "fields": fields,
                "length": len(body), "sha256": hashlib.sha256(body).hexdigest(),
                "trailers": trailers, "peer": peer_uri(sock.sock)}
        http_answer(sock, json.dumps(seen).encode(), head=method == "HEAD",
                    fields=["Content-Type: application/json", "X-Origin: " + origin.name])


def mirror_handler(sock, _origin):
    """Answers every request with its own body."""
    stream = Stream(sock)
    while True:
        http_answer(sock, read_request(stream)[3])


def silent(sock, _origin):
    """Takes a request and says nothing until the other end has gone."""
    read_request(Stream(sock))
    while sock.recv(65536):
        pass


def scripted(answer):
    """A handler that reads one request and then sends bytes, or calls answer(sock)."""

    def handler(sock, _origin):
        read_request(Stream(sock))
        if callable(answer):
            answer(sock)
        else:
            sock.sendall(answer)

    return handler


def server_context(pair, client_ca=None, alpn=()):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    context.load_cert_chain(pair.cert, pair.key)
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(str(client_ca.cert))
    return context
