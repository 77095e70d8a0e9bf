# SPDX-License-Identifier: Apache-2.0
"""gRPC from both ends, as much as a gateway can notice, over the HTTP/2 of http2.py."""
import struct

from http2 import Peer
from wire import connect


def frame(message):
    return struct.pack(">BI", 0, len(message)) + message


def messages(data):
    result = []
    while len(data) >= 5:
        length = struct.unpack(">BI", data[:5])[1]
        result.append(data[5:5 + length])
        data = data[5 + length:]
    assert data == b"", "half a message"
    return result


class Call:
    """A stream of a peer, at either end."""

    def __init__(self, peer, number):
        self.peer, self.number, self.seen = peer, number, peer.stream(number)

    @property
    def head(self):
        return dict(self.seen.fields)

    @property
    def trailers(self):
        return dict(self.seen.trailers)

    @property
    def data(self):
        return self.seen.body

    @property
    def replies(self):
        return messages(self.data)

    @property
    def status(self):
        """(grpc-status, grpc-message), from trailers or a head that is all there is."""
        fields = self.trailers or self.head
        return int(fields["grpc-status"]), fields.get("grpc-message", "")

    def wait(self, condition):
        self.peer.until(lambda: condition(self.seen))
        return self

    def finish(self):
        return self.wait(lambda seen: seen.ended or seen.reset is not None)

    def send(self, message, end=False):
        self.peer.send_body(self.number, frame(message), end)

    def end(self):
        self.peer.h2.end_stream(self.number)
        self.peer.flush()

    def cancel(self, code=8):
        self.peer.h2.reset_stream(self.number, code)
        self.peer.flush()

    # Of the server.

    def answer(self, fields=()):
        self.peer.send_head(self.number,
                            [(":status", "200"), ("content-type", "application/grpc"), *fields])

    def close(self, status=0, fields=()):
        self.peer.send_head(self.number, [*fields, ("grpc-status", str(status))], True)

    def refuse(self, status, fields=()):
        """Trailers-only."""
        self.close(status, [(":status", "200"), ("content-type", "application/grpc"), *fields])


class Caller:
    """A client on a connection of its own."""

    def __init__(self, port, sock=None, scheme="http"):
        self.peer, self.scheme = Peer(sock or connect(port)), scheme

    def call(self, path, host="grpc.test", fields=(), message=None, end=True):
        fields = [("te", "trailers"), ("content-type", "application/grpc"), *fields]
        call = Call(self.peer, self.peer.open(path, "POST", host, fields, False, self.scheme))
        if message is not None:
            call.send(message, end)
        return call

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.peer.sock.close()


def server(serve):
    """A handler for an Origin: serve(call) for one call after the other, as they come. The origin
    keeps the heads it saw."""

    def handler(sock, origin):
        peer = Peer(sock, client=False)
        for served in range(1 << 30):
            peer.until(lambda n=served: len(peer.begun) > n)
            call = Call(peer, peer.begun[served])
            origin.__dict__.setdefault("heads", []).append(call.head)
            serve(call)

    return handler


def echo(call):
    """Sends every message back, with metadata of both kinds."""
    call.finish()
    if call.seen.reset is not None:
        return
    call.answer([("x-head", "h")])
    for message in call.replies:
        call.send(message)
    call.close(0, [("x-trailer", "t"), ("x-trailer-bin", "AAEC")])
