"""HTTP connections that are closed when nothing comes of them.

uvicorn waits for ever for the rest of a request's head, and for a caller who does not read the
reply. Whoever opens many connections and goes on slowly could hold all of a server's.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


def impatient(seconds: float) -> type[HttpToolsProtocol]:
    """uvicorn's protocol, with `seconds` for a request's head and between two parts of a reply."""

    class Connection(HttpToolsProtocol):
        _head: asyncio.TimerHandle | None = None
        _reader: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._wait_for_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_head()
            self._stop_reader()
            super().connection_lost(exc)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            if self._head is None:  # a further request on a connection that stayed open
                self._wait_for_head()

        def on_headers_complete(self) -> None:
            self._stop_head()
            super().on_headers_complete()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._wait_for_reader(self.transport.get_write_buffer_size())

        def resume_writing(self) -> None:
            self._stop_reader()
            super().resume_writing()

        def _wait_for_head(self) -> None:
            def look() -> None:
                if self.cycle is not None and not self.cycle.response_complete:
                    self._wait_for_head()  # what was asked before is answered first
                else:
                    self.transport.close()

            self._head = self.loop.call_later(seconds, look)

        def _wait_for_reader(self, left: int) -> None:
            def look() -> None:
                now = self.transport.get_write_buffer_size()
                if now < left:
                    self._wait_for_reader(now)
                else:
                    self.transport.abort()

            self._reader = self.loop.call_later(seconds, look)

        def _stop_head(self) -> None:
            if self._head is not None:
                self._head.cancel()
                self._head = None

        def _stop_reader(self) -> None:
            if self._reader is not None:
                self._reader.cancel()
                self._reader = None

    return Connection
