"""`python -m serving.client`."""

import os
import sys

# The C library behind grpcio logs refused connections; the command says it in a sentence.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from serving.client.command import main

if __name__ == "__main__":
    sys.exit(main())
