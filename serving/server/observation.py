"""What is noted of each request: numbers, a line, and now and then the request itself."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from serving.server.errors import Code
from serving.server.metrics import Metrics
from serving.server.request_log import RequestLog

log = logging.getLogger("serving.server.requests")


@dataclass(kw_only=True)
class Call:
    """One request on its way; who decodes it fills in what it learns."""

    api: str
    entrypoint: str
    started: float
    model: str = ""
    signature: str = ""
    examples: int = 0


class Observer:
    """Notes what it has been given a place for; without any it costs next to nothing."""

    def __init__(
        self,
        *,
        metrics: Metrics | None = None,
        request_log: RequestLog | None = None,
        has_lines: bool = False,
    ) -> None:
        self.metrics = metrics
        self._request_log = request_log
        self._has_lines = has_lines

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to note."""
        return not (self.metrics or self._request_log or self._has_lines)

    def begin(self, api: str, entrypoint: str) -> Call:
        """A request has arrived."""
        return Call(api=api, entrypoint=entrypoint, started=time.perf_counter())

    def end(self, call: Call, code: Code, message: str = "") -> None:
        """It has been answered, with `message` where it was refused."""
        seconds = time.perf_counter() - call.started
        signature = call.signature or "serving_default"
        if self.metrics:
            self.metrics.request(call.model, signature, code)
            if code == Code.OK:
                self.metrics.latency(
                    call.model,
                    signature,
                    api=call.api,
                    entrypoint=call.entrypoint,
                    seconds=seconds,
                )
                if call.examples:
                    self.metrics.examples(call.model, call.examples)
        if self._has_lines:
            line = {
                "model": call.model,
                "signature": signature,
                "api": call.api,
                "entrypoint": call.entrypoint,
                "status": code.name,
                "milliseconds": round(seconds * 1e3, 3),
            }
            log.info(
                "request", extra={"fields": {**line, **({"error": message} if message else {})}}
            )

    def keep(self, call: Call, make: Callable[[], tuple[Any, Any]]) -> None:
        """Log the request and its reply, both messages made by `make`, if its turn has come."""
        if not self._request_log or not self._request_log.wants():
            return
        try:
            kept = self._request_log.put(call.api, *make())
        except Exception:  # the caller has an answer, whatever the log thinks of it
            log.exception("a request could not be logged")
            kept = False
        if not kept and self.metrics:
            self.metrics.dropped(call.model)
