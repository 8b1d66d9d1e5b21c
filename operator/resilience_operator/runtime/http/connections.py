"""Limits for the connections of an HTTP server: how many there are, and how long each may take to send a request.

aiohttp has no limit of connections, and no time-out for a request's head. Here both are around its protocol, so that
idle clients, and clients that send half a head, cost a bounded number of sockets and are closed in time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """connections, of_an_address: at once, in all and of one client address.

    head: seconds for the head of a request. idle: seconds between the end of a request's handling and the next request,
    in which the response has to be read too.
    """

    connections: int = 256
    of_an_address: int = 64
    head: float = 10.0
    idle: float = 30.0


class Connections:
    """All connections of one server. Makes the protocol for each."""

    def __init__(self, make: Callable[[], asyncio.Protocol], limits: ConnectionLimits) -> None:
        self.limits = limits
        self._make = make
        self._waiting: dict[Connection, None] = {}
        self._by_transport: dict[asyncio.BaseTransport, Connection] = {}
        self._of_address: dict[str, dict[Connection, None]] = {}

    def __len__(self) -> int:
        return len(self._by_transport)

    def __call__(self) -> Connection:
        """A protocol for a new connection: what `create_server` calls."""
        return Connection(self._make(), self)

    def of(self, request: web.BaseRequest) -> Connection | None:
        """The connection that a request came on, while it is open."""
        return None if request.transport is None else self._by_transport.get(request.transport)

    def admit(self, connection: Connection) -> bool:
        """Whether a new connection may stay.

        To make room, the connection is closed that has waited longest without a request: of the same address first.
        So a client that sends its request at once, like the kubelet's probe, finds room among any number of idle ones.
        """
        same = self._of_address.get(connection.address, {})
        if len(same) >= self.limits.of_an_address and not self._close_idle(same):
            return False
        if len(self) >= self.limits.connections and not self._close_idle(self._waiting):
            return False
        self._by_transport[connection.transport] = connection
        self._of_address.setdefault(connection.address, {})[connection] = None
        self._waiting[connection] = None
        return True

    def remove(self, connection: Connection) -> None:
        """A connection is closed."""
        self._waiting.pop(connection, None)
        self._by_transport.pop(connection.transport, None)
        same = self._of_address.get(connection.address)
        if same is not None:
            same.pop(connection, None)
            if not same:
                del self._of_address[connection.address]

    def waits(self, connection: Connection) -> None:
        """A connection waits for its next request, from now on."""
        if connection.transport in self._by_transport:
            self._waiting[connection] = None

    def works(self, connection: Connection) -> None:
        """A request of a connection is being handled."""
        self._waiting.pop(connection, None)

    def _close_idle(self, among: dict[Connection, None]) -> bool:
        found = next((c for c in among if c in self._waiting), None)
        if found is None:
            return False
        found.abort()
        return True


class Connection(asyncio.Protocol):
    """One connection: aiohttp's protocol with time-outs around it."""

    __slots__ = ("_admitted", "_inner", "_kept", "_owner", "_timer", "address", "transport")

    def __init__(self, inner: asyncio.Protocol, owner: Connections) -> None:
        self._inner = inner
        self._owner = owner
        self._timer: asyncio.TimerHandle | None = None
        self._admitted = False
        self._kept = False
        self.address = ""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if peer else ""
        self._admitted = self._owner.admit(self)
        if not self._admitted:
            transport.abort()
            return
        self._inner.connection_made(transport)
        self._wait(self._owner.limits.head)

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel()
        if self._admitted:
            self._owner.remove(self)
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._admitted:
            return
        if self._kept:
            # The first bytes of a further request: from now on it has as long as the first one had.
            self._kept = False
            self._wait(self._owner.limits.head)
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._admitted else None

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def begin(self) -> None:
        """A request is complete, and is being handled."""
        self._cancel()
        self._kept = False
        self._owner.works(self)

    def end(self) -> None:
        """It was handled: the client has to read the response, and may send another request."""
        self._kept = True
        self._owner.waits(self)
        # A little later than aiohttp, which closes an idle connection without a race.
        self._wait(self._owner.limits.idle + 5.0)

    def abort(self) -> None:
        """Close it at once."""
        self._cancel()
        # Now, and not with `connection_lost`, so that its place is free.
        self._owner.remove(self)
        self.transport.abort()

    def _wait(self, seconds: float) -> None:
        self._cancel()
        if not self.transport.is_closing():
            self._timer = asyncio.get_running_loop().call_later(seconds, self._expired)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expired(self) -> None:
        if not self._kept and not self.transport.get_write_buffer_size():
            self.transport.write(TIMED_OUT)
            self.transport.close()
        else:
            self.transport.abort()
