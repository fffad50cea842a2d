"""A load generator for one HTTP path: connections that stay open, a fixed rate or as fast as it goes."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


class Connection(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self) -> None:
        self.buffer = b""
        self.answer: asyncio.Future[int] | None = None
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, separator, body = self.buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        )
        if len(body) >= length:
            self.buffer = b""
            assert self.answer is not None
            self.answer.set_result(int(head[9:12]))

    def connection_lost(self, error: Exception | None) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_result(0)

    async def ask(self, request: bytes) -> int:
        """The status of an answer."""
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.answer


def requests(host: str, path: str, bodies: list[bytes]) -> Iterator[bytes]:
    """The requests, over and over."""
    made = [
        b"POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
        % (path.encode(), host.encode(), len(body), body)
        for body in bodies
    ]
    return itertools.cycle(made)


async def run(
    port: int, path: str, bodies: list[bytes], seconds: float, rate: float, connections: int
) -> dict[str, float]:
    """Ask for some seconds; a rate of 0 is as fast as answers come."""
    loop = asyncio.get_running_loop()
    pool = [(await loop.create_connection(Connection, "127.0.0.1", port))[1] for _ in range(connections)]
    source = requests(f"127.0.0.1:{port}", path, bodies)
    latencies: list[float] = []
    failures = 0
    began = time.perf_counter()

    async def closed(connection: Connection) -> None:
        nonlocal failures
        while (sent := time.perf_counter()) - began < seconds:
            failures += await connection.ask(next(source)) != 200
            latencies.append(time.perf_counter() - sent)

    async def opened(connection: Connection, number: int) -> None:
        """Requests at fixed moments; a late start counts into the latency."""
        nonlocal failures
        for due in itertools.count(number / rate, connections / rate):
            if due >= seconds:
                return
            wait = began + due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            failures += await connection.ask(next(source)) != 200
            latencies.append(time.perf_counter() - began - due)

    jobs = [opened(one, number) if rate else closed(one) for number, one in enumerate(pool)]
    await asyncio.gather(*jobs)
    spent = time.perf_counter() - began
    ordered = np.sort(latencies) * 1000
    return {
        "requests": len(latencies),
        "failures": failures,
        "per_second": len(latencies) / spent,
        "p50_ms": float(np.quantile(ordered, 0.5)),
        "p99_ms": float(np.quantile(ordered, 0.99)),
    }


if __name__ == "__main__":
    port, path, bodies_file, seconds, rate, connections = sys.argv[1:]
    rows = [line.encode() for line in Path(bodies_file).read_text().splitlines()]
    import uvloop

    print(json.dumps(uvloop.run(run(int(port), path, rows, float(seconds), float(rate), int(connections)))))
