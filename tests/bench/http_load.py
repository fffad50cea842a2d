"""A load generator for HTTP: many connections, each with one request under way, driven by one thread.

A client library costs more than what a fast server answers with: measuring the server would be measuring the client.
Here requests are bytes made beforehand, and of an answer only its status and length are read; the last answer of every
connection is kept, for the caller to check.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

_END = b"\r\n\r\n"


@dataclass
class Answers:
    """What came back.

    :param seconds: how long was asked.
    :param latencies: seconds of each request.
    :param last: the number of the request and the body of the answer, for the last of each connection.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    last: list[tuple[int, bytes]] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds


class _Connection:
    """One connection, and what of an answer has come so far."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, 30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number, self.sent, self.received, self.wanted = 0, 0.0, b"", -1

    def send(self, number: int, request: bytes) -> None:
        self.number, self.received, self.wanted = number, b"", -1
        self.sent = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Whether the answer is complete."""
        part = self.socket.recv(1 << 18)
        if not part:
            raise ConnectionError("the server hung up")
        self.received += part
        if self.wanted < 0:
            end = self.received.find(_END)
            if end < 0:
                return False
            head = self.received[:end].lower()
            if b" 200 " not in head[:16]:
                raise ConnectionError(self.received[:600].decode(errors="replace"))
            place = head.index(b"content-length:") + len(b"content-length:")
            self.wanted = end + len(_END) + int(head[place:].split(b"\r\n", 1)[0])
        return len(self.received) >= self.wanted


def post(path: str, headers: dict[str, str], body: bytes) -> bytes:
    """A request as bytes.

    :param path: of the URL.
    :param headers: beside those of every request.
    :param body: what is sent.
    """
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + _END + body


def body_of(answer: bytes) -> tuple[bytes, bytes]:
    """Headers and body of an answer.

    :param answer: all of it.
    """
    head, _, body = answer.partition(_END)
    return head, body


def ask(address: tuple[str, int], requests: Sequence[bytes], connections: int, seconds: float) -> Answers:
    """Ask for a time, with as many requests under way as there are connections.

    :param address: host and port.
    :param requests: sent in turn.
    :param connections: how many.
    :param seconds: how long.
    """
    found = Answers()
    with selectors.DefaultSelector() as waiting:
        opened = [_Connection(address) for _ in range(connections)]
        try:
            number, began = 0, time.perf_counter()
            for connection in opened:
                waiting.register(connection.socket, selectors.EVENT_READ, connection)
                connection.send(number % len(requests), requests[number % len(requests)])
                number += 1
            under_way = connections
            while under_way:
                ready = waiting.select(30)
                if not ready:
                    raise TimeoutError("no answer within 30 s")
                for key, _ in ready:
                    connection = key.data
                    if not connection.receive():
                        continue
                    now = time.perf_counter()
                    found.latencies.append(now - connection.sent)
                    if now - began < seconds:
                        connection.send(number % len(requests), requests[number % len(requests)])
                        number += 1
                    else:
                        under_way -= 1
                        found.last.append((connection.number, connection.received))
            found.seconds = time.perf_counter() - began
        finally:
            for connection in opened:
                connection.socket.close()
    return found
