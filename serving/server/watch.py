"""From flags to what is counted and written down of requests."""

import logging
from dataclasses import dataclass

from serving.server import metrics
from serving.server.flags import ServerConfig
from serving.server.metrics import Metrics
from serving.server.observation import Observer
from serving.server.request_log import RequestLog

log = logging.getLogger("serving.server")


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What watches the requests, and where the numbers can be read."""

    observer: Observer
    metrics: Metrics | None
    metrics_path: str | None
    request_log: RequestLog | None

    def close(self) -> None:
        """Write what has not been written yet."""
        if self.request_log:
            self.request_log.close()


def make_watch(config: ServerConfig) -> Watch:
    """Everything that flags ask to be counted or written down.

    Raises:
        ServingError: INVALID_ARGUMENT for a damaged file or a folder that is not there.
    """
    path = None
    if config.monitoring_config_file is not None:
        path = metrics.read_path(config.monitoring_config_file)
    if path and not config.rest_api_port:
        log.warning("nobody can read the metrics: --rest_api_port is 0")
    counted = Metrics() if path else None
    request_log = None
    if config.request_log_prefix is not None:
        request_log = RequestLog(
            config.request_log_prefix,
            rate=config.request_log_sampling_rate,
            max_bytes=config.request_log_max_bytes,
        )
    observer = Observer(metrics=counted, request_log=request_log, has_lines=config.log_each_request)
    return Watch(observer=observer, metrics=counted, metrics_path=path, request_log=request_log)
