"""Where the gRPC server listens: TCP, with or without TLS, and a unix socket."""

from pathlib import Path

import grpc

from serving.server.declared import declare
from serving.server.errors import Code, ServingError, invalid_argument
from serving.server.model_config import read_text_message

SSLConfig = declare(
    "SSLConfig",
    {
        "server_key": "string",
        "server_cert": "string",
        "custom_ca": "string",
        "client_verify": "bool",
    },
)


def read_credentials(file: Path) -> grpc.ServerCredentials:
    """The server's key and certificate, and the CA of its callers, from a text SSLConfig.

    Raises:
        ServingError: if the file cannot be read, or lacks what TLS needs.
    """
    config = SSLConfig()
    read_text_message(file, config)
    for name in ("server_key", "server_cert"):
        if "-----BEGIN " not in getattr(config, name):
            raise invalid_argument(f"{file}: {name} must be PEM text")
    if config.client_verify and not config.custom_ca:
        raise invalid_argument(f"{file}: client_verify needs custom_ca, who signed the callers")
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )


def listen(
    server: grpc.Server,
    *,
    host: str,
    port: int,
    socket_path: str = "",
    credentials: grpc.ServerCredentials | None = None,
) -> list[str]:
    """Open the port, unless it is 0 beside a socket, and the socket; their addresses.

    As in TF Serving, TLS is for the port; a unix socket is guarded by the file system.

    Raises:
        ServingError: UNAVAILABLE if an address cannot be listened on.
    """
    addresses = []
    try:
        if port or not socket_path:
            name = f"[{host}]" if ":" in host else host
            target = f"{name}:{port}"
            if credentials is None:
                bound = server.add_insecure_port(target)
            else:
                bound = server.add_secure_port(target, credentials)
            addresses.append(f"{name}:{bound}")
        if socket_path:
            server.add_insecure_port(f"unix:{socket_path}")
            addresses.append(f"unix:{socket_path}")
    except RuntimeError as error:
        raise ServingError(Code.UNAVAILABLE, str(error)) from error
    return addresses
