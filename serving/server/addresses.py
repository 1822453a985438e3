"""Whether one can listen somewhere: found out before minutes are spent on loading a model."""

import errno
import os
import socket
import stat
from pathlib import Path

MAX_SOCKET_BYTES = 107  # of the path of a unix socket, which Linux keeps with a zero at its end


def check_port(host: str, port: int) -> None:
    """Listen there for a moment.

    Raises:
        OSError: if that cannot be; `strerror` says why.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        probe.listen()


def check_socket(path: str) -> None:
    """Look whether a unix socket can be made there; one that nobody answers at is replaced.

    Raises:
        OSError: if that cannot be; `strerror` says why.
    """
    if len(os.fsencode(path)) > MAX_SOCKET_BYTES:
        limit = f"the path of a unix socket has at most {MAX_SOCKET_BYTES} bytes"
        raise OSError(errno.ENAMETOOLONG, limit)
    if not Path(path).absolute().parent.is_dir():
        raise OSError(errno.ENOENT, "its folder is not there")
    if not os.path.lexists(path):
        return
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise OSError(errno.EEXIST, "there is a file of that name")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:  # left behind by a server that was killed
            return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
