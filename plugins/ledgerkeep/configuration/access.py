"""What a source may reach: AWS clients, management APIs, by the names of Airflow connections.

The core knows no Airflow. Whoever opens a source hands in two functions; the hooks make them out
of connections, tests out of a stand-in's address.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.config import Config

PATIENT = Config(retries={"mode": "adaptive", "total_max_attempts": 10}, read_timeout=60)
"""How clients of sources wait: throttled, they slow down by themselves (SDKs and Tools reference
guide, Retry behavior), so that thousands of requests stay within a service's rate."""


@dataclass(frozen=True)
class Login:
    """Address and credentials of a service that is not AWS."""

    url: str
    """Scheme, host and port, without a path at its end."""
    login: str = ""
    """User, client id or account, as the service calls it."""
    password: str = field(default="", repr=False)
    """Client secret, API key, private key."""
    extra: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Access:
    """How sources reach what they export."""

    client: Callable[[str, str, str], Any]
    """(AWS service, connection, region) → boto3 client."""
    login: Callable[[str], Login]
    """Connection → address and credentials."""
