"""AWS' own descriptions of its services, read once in a process.

A session of boto3 reads the description of every service that it makes a client of, and the list
of all endpoints: some megabytes of JSON, half a second of work for S3 alone. Sessions differ in
their credentials and not in these, so all sessions of a process read from one shelf. Whoever opens
one bucket spares nothing, unless the process that it was forked from has read ahead; a task that
opens four, a console and a run of tests spare most of it.
"""

from functools import cache
from typing import TYPE_CHECKING

import boto3
import botocore.session

if TYPE_CHECKING:
    from botocore.loaders import Loader


def open_session(
    access_key: str | None = None,
    secret_key: str | None = None,
    session_token: str | None = None,
    region: str | None = None,
) -> boto3.Session:
    """A session with these credentials; without any, boto3's own chain decides."""
    return sharing(
        boto3.Session(
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            aws_session_token=session_token,
            region_name=region,
        )
    )


def sharing(session: boto3.Session) -> boto3.Session:
    """The same session, which reads descriptions where all of this process are."""
    # boto3 offers no way to hand a session its loader; botocore's sessions take components.
    session._session.register_component("data_loader", _descriptions())
    return session


def read_ahead(*services: str) -> None:
    """Read the descriptions of services now, so that processes forked from this one have them.

    :param services: their names in boto3, such as `s3`
    """
    shelf = _descriptions()
    for about_all in ("endpoints", "partitions", "sdk-default-configuration"):
        shelf.load_data(about_all)
    for service in services:
        for kind in ("service-2", "endpoint-rule-set-1"):
            shelf.load_service_model(service, kind)


@cache
def _descriptions() -> "Loader":
    found: Loader = botocore.session.get_session().get_component("data_loader")
    return found
