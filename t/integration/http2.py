# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 by python3-h2, as a client and as a backend."""
import hashlib
import json

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame

from wire import connect


class Message:
    """What came on a stream."""

    def __init__(self):
        self.fields, self.interim, self.body, self.trailers = [], [], bytearray(), []
        self.ended, self.reset = False, None

    def get(self, name):
        return next((v for n, v in self.fields if n == name), None)

    @property
    def status(self):
        return int(self.get(":status"))


class Peer:
    """One end of a connection. hold: streams whose bytes are not credited, so that their windows
    stay closed."""

    def __init__(self, sock, client=True, settings=(), preface=True):
        self.sock, self.streams, self.hold = sock, {}, set()
        self.goaways, self.begun, self.owed, self.out = [], [], {}, {}
        config = h2.config.H2Configuration(client_side=client, header_encoding="utf-8",
                                           validate_outbound_headers=False)
        self.h2 = h2.connection.H2Connection(config)
        if settings:
            self.h2.local_settings = Settings(client=client, initial_values=dict(settings))
        self.h2._frame_dispatch_table[GoAwayFrame] = self.on_goaway
        if preface:
            self.h2.initiate_connection()
            self.flush()
        kind = h2.connection.ConnectionState
        self.state = kind.CLIENT_OPEN if client else kind.SERVER_OPEN

    def on_goaway(self, frame):
        """The library takes it for the end, but streams that have begun go on (RFC 9113 6.8)."""
        result = self.h2._receive_goaway_frame(frame)
        self.h2.state_machine.state = self.state
        return result

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.sock.sendall(data)

    def stream(self, number):
        return self.streams.setdefault(number, Message())

    def pump(self):
        """Takes what has come; False at the end of the connection."""
        data = self.sock.recv(65536)
        if not data:
            return False
        for event in self.h2.receive_data(data):
            self.on_event(event)
        self.flush()
        return True

    def on_event(self, event):
        number = getattr(event, "stream_id", None)
        if isinstance(event, h2.events.RequestReceived):
            self.stream(number).fields = event.headers
            self.begun.append(number)
        elif isinstance(event, h2.events.ResponseReceived):
            self.stream(number).fields = event.headers
        elif isinstance(event, h2.events.InformationalResponseReceived):
            self.stream(number).interim.append(event.headers)
        elif isinstance(event, h2.events.TrailersReceived):
            self.stream(number).trailers = event.headers
        elif isinstance(event, h2.events.DataReceived):
            self.stream(number).body += event.data
            self.owed[number] = self.owed.get(number, 0) + event.flow_controlled_length
            if number not in self.hold:
                self.credit(number)
        elif isinstance(event, h2.events.StreamEnded):
            self.stream(number).ended = True
        elif isinstance(event, h2.events.StreamReset):
            self.stream(number).reset = event.error_code
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaways.append((event.error_code, event.last_stream_id))

    def credit(self, number):
        """Lets go of what is held."""
        self.hold.discard(number)
        count = self.owed.pop(number, 0)
        if count:
            try:
                self.h2.acknowledge_received_data(count, number)
            except h2.exceptions.StreamClosedError:
                pass

    def until(self, condition):
        while not condition():
            if not self.pump():
                raise EOFError(f"the connection ended, GOAWAY {self.goaways}")

    def send_head(self, number, fields, end=False):
        self.h2.send_headers(number, list(fields), end_stream=end)
        self.flush()

    def send_body(self, number, data, end=True):
        """Waits for windows; gives up when the stream was reset."""
        data, message = memoryview(data), self.stream(number)
        while True:
            self.until(lambda: not data or message.reset is not None
                       or self.h2.local_flow_control_window(number) > 0)
            if message.reset is not None:
                return
            size = min(len(data), self.h2.max_outbound_frame_size,
                       self.h2.local_flow_control_window(number))
            piece, data = data[:size], data[size:]
            self.h2.send_data(number, bytes(piece), end_stream=end and not data)
            self.flush()
            if not data:
                return

    def queue(self, number, data):
        """A body that goes when its window lets it, beside others."""
        self.out[number] = memoryview(data)

    def send_queued(self):
        for number in list(self.out):
            data = self.out[number]
            while number in self.out and self.h2.local_flow_control_window(number) > 0:
                size = min(len(data), self.h2.max_outbound_frame_size,
                           self.h2.local_flow_control_window(number))
                piece, data = data[:size], data[size:]
                self.h2.send_data(number, bytes(piece), end_stream=not data)
                self.out[number] = data
                if not data:
                    del self.out[number]
        self.flush()

    # A client.

    def open(self, path="/", method="GET", host="a.test", fields=(), end=True, scheme="http"):
        number = self.h2.get_next_available_stream_id()
        self.stream(number)
        self.send_head(number, [(":method", method), (":scheme", scheme), (":authority", host),
                                (":path", path), *fields], end)
        return number

    def request(self, path="/", method="GET", body=None, fields=(), **more):
        number = self.open(path, method, fields=fields, end=body is None, **more)
        if body is not None:
            self.send_body(number, body)
        return self.finish(number)

    def finish(self, number):
        message = self.stream(number)
        self.until(lambda: message.ended or message.reset is not None)
        return message

    def tunnel(self, path="/", host="a.test", version="13", scheme="http", fields=()):
        """Extended CONNECT for WebSocket (RFC 8441)."""
        number = self.h2.get_next_available_stream_id()
        self.until(lambda: self.h2.remote_settings.get(SettingCodes.ENABLE_CONNECT_PROTOCOL))
        self.send_head(number, [(":method", "CONNECT"), (":protocol", "websocket"),
                                (":scheme", scheme), (":authority", host), (":path", path),
                                ("sec-websocket-version", version), *fields])
        message = self.stream(number)
        self.until(lambda: message.fields or message.reset is not None)
        return number


class Bytes:
    """A stream's bytes, as wire.Stream reads a socket's."""

    def __init__(self, peer, number):
        self.peer, self.number, self.message = peer, number, peer.stream(number)

    def exactly(self, count):
        message = self.message

        self.peer.until(lambda: len(message.body) >= count or message.ended or message.reset)
        if len(message.body) < count:
            raise EOFError
        piece = bytes(message.body[:count])
        del message.body[:count]
        return piece

    def send(self, data):
        self.peer.send_body(self.number, data, end=False)


def dial(port):
    return Peer(connect(port))


def dial_tls(port, context, name="a.test"):
    context.set_alpn_protocols(["h2"])
    sock = context.wrap_socket(connect(port), server_hostname=name)
    assert sock.selected_alpn_protocol() == "h2"
    return Peer(sock)


def echo(peer, number):
    """Answers with what it saw, as origin.http_handler does."""
    message = peer.stream(number)
    fields = [f for f in message.fields if not f[0].startswith(":")]
    seen = {"method": message.get(":method"), "target": message.get(":path"),
            "authority": message.get(":authority"), "scheme": message.get(":scheme"),
            "fields": fields, "length": len(message.body), "trailers": message.trailers,
            "sha256": hashlib.sha256(message.body).hexdigest()}
    peer.send_head(number, [(":status", "200"), ("content-type", "application/json")])
    peer.send_body(number, json.dumps(seen).encode())


def handler(answer=echo, at_head=None, settings=()):
    """For origin.Origin. answer(peer, number): the request is complete; at_head(peer, number): its
    head came; a true result means that all is done."""

    def serve(sock, _origin):
        peer = Peer(sock, client=False, settings=settings)
        done = set()
        while peer.pump():
            for number in peer.begun:
                message = peer.stream(number)
                if at_head is not None and number not in done and at_head(peer, number):
                    done.add(number)
                if message.ended and number not in done:
                    done.add(number)
                    answer(peer, number)
            peer.begun = [n for n in peer.begun if n not in done]
            peer.send_queued()

    return serve
