"""Free ports, chosen and not fixed, so that two sandboxes run side by side.

Seconds may pass between the choice of a port and the server that binds it, and another process may
choose in them. So who chooses a port claims it: with a socket in Linux' abstract namespace, which
takes no file and goes with the process, however that ends.
"""

import random
import socket
import sys
from collections import deque

_claims: deque[socket.socket] = deque(maxlen=64)
"""The newest ones. A server that was given an older one has bound it long since."""


def free_ports(count: int) -> list[int]:
    """Ports on the loopback address that nobody listens on, all different.

    They stay below the range that the kernel hands out for outgoing connections, so that a client
    socket cannot take one between this call and the server's bind.
    """
    chosen: list[int] = []
    while len(chosen) < count:
        # SeaweedFS derives further ports by adding 10,000: none of those is ever chosen.
        port = random.randint(10_000, 19_999)
        if port not in chosen and is_free(port) and is_free(port + 10_000) and _claim(port):
            chosen.append(port)
    return chosen


def _claim(port: int) -> bool:
    """Keep other processes from choosing the port; False when one has chosen it."""
    if sys.platform != "linux":
        return True
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0ledgerkeep-port-{port}")
    except OSError:
        claim.close()
        return False
    _claims.append(claim)
    return True


def is_free(port: int) -> bool:
    """Whether nobody listens on that port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
