"""Connection limits of an HTTP server: how many there are, and how long each may take to send a request.

aiohttp limits neither the number of connections nor the time for a request's head. This module wraps its protocol with
both. Idle clients and clients that send half a head use a bounded number of sockets, and are closed in time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """connections, of_an_address: maximum concurrent connections, in total and per client address.

    head: seconds for the head of a request. idle: seconds between the end of one request and the next, including the
    time to read the response.
    """

    connections: int = 256
    of_an_address: int = 64
    head: float = 10.0
    idle: float = 30.0


class Connections:
    """All connections of one server, and the protocol factory for them."""

    def __init__(self, make: Callable[[], asyncio.Protocol], limits: ConnectionLimits) -> None:
        self.limits = limits
        self._make = make
        self._waiting: dict[Connection, None] = {}
        self._by_transport: dict[asyncio.BaseTransport, Connection] = {}
        self._of_address: dict[str, dict[Connection, None]] = {}

    def __len__(self) -> int:
        return len(self._by_transport)

    def __call__(self) -> Connection:
        """Create the protocol for a new connection: the factory for `create_server`."""
        return Connection(self._make(), self)

    def of(self, request: web.BaseRequest) -> Connection | None:
        """Return the connection of a request, while it is open."""
        return None if request.transport is None else self._by_transport.get(request.transport)

    def admit(self, connection: Connection) -> bool:
        """Return True if a new connection is accepted.

        To make room, close the connection that has been idle longest, of the same address first. A client that sends
        its request at once, like the kubelet's probe, is accepted among any number of idle ones.
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
        """Remove a closed connection."""
        self._waiting.pop(connection, None)
        self._by_transport.pop(connection.transport, None)
        same = self._of_address.get(connection.address)
        if same is not None:
            same.pop(connection, None)
            if not same:
                del self._of_address[connection.address]

    def mark_idle(self, connection: Connection) -> None:
        """Mark a connection as idle."""
        if connection.transport in self._by_transport:
            self._waiting[connection] = None

    def mark_busy(self, connection: Connection) -> None:
        """Mark a connection as busy with a request."""
        self._waiting.pop(connection, None)

    def _close_idle(self, among: dict[Connection, None]) -> bool:
        found = next((c for c in among if c in self._waiting), None)
        if found is None:
            return False
        found.abort()
        return True


class Connection(asyncio.Protocol):
    """One connection: aiohttp's protocol with timeouts around it."""

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
            # First bytes of a further request: it gets as long as the first one.
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
        """A request is complete and its handler starts."""
        self._cancel()
        self._kept = False
        self._owner.mark_busy(self)

    def end(self) -> None:
        """The handler has finished: the client reads the response, and may send another request."""
        self._kept = True
        self._owner.mark_idle(self)
        # Slightly later than aiohttp, which closes an idle connection without a race.
        self._wait(self._owner.limits.idle + 5.0)

    def abort(self) -> None:
        """Close the connection immediately."""
        self._cancel()
        # Remove it now, and not in `connection_lost`, so that its slot is free.
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
