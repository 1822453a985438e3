"""How the client connects: limits, load balancing, retries, keepalive."""

import json

import grpc

MAX_MESSAGE_BYTES = 2**31 - 1

_SERVICE_CONFIG = {
    # Spread calls over every address that the target resolves to (dns:///name:port).
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [
                {"service": "tensorflow.serving.PredictionService"},
                {"service": "tensorflow.serving.ModelService"},
            ],
            # Every call is safe to repeat; a server that restarts gets three more chances.
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 3,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
    # The budget: a failure costs 1 token, a success earns 0.1, no retries below half.
    "retryThrottling": {"maxTokens": 20, "tokenRatio": 0.1},
}

_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Servers hang up on clients that ping more often than every 5 minutes.
    ("grpc.keepalive_time_ms", 330_000),
    ("grpc.keepalive_timeout_ms", 20_000),
]


def open_channel(target: str) -> grpc.Channel:
    """An unencrypted channel to `host:port`, `dns:///host:port` or `unix:path`."""
    return grpc.insecure_channel(target, options=_OPTIONS)
