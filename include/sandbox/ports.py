"""Free ports, chosen and not fixed, so that two sandboxes run side by side."""

import random
import socket


def free_ports(count: int) -> list[int]:
    """Ports on the loopback address that nobody listens on, all different.

    They stay below the range that the kernel hands out for outgoing connections, so that a client
    socket cannot take one between this call and the server's bind.
    """
    chosen: list[int] = []
    while len(chosen) < count:
        port = random.randint(10_000, 21_000)
        # SeaweedFS derives further ports by adding 10,000.
        if port not in chosen and is_free(port) and is_free(port + 10_000):
            chosen.append(port)
    return chosen


def is_free(port: int) -> bool:
    """Whether nobody listens on that port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
