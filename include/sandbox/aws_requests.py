"""Requests to the AWS stand-in, as a WSGI server sees them: whose they are, and what is asked.

(AWS General Reference, Signature Version 4: the credential scope names region and service.)
"""

import io
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from moto.iam.models import get_account_id_from

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_CREDENTIAL = re.compile(r"Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Caller:
    """Whose request it is, by its signature."""

    account: str
    region: str
    service: str
    key: str
    """Its access key."""


def caller_of(environ: dict[str, Any]) -> Caller | None:
    """Whose request it is; None where it is not signed."""
    found = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
    if found is None:
        return None
    return Caller(get_account_id_from(found[1]), found[2], found[3], found[1])


def action_of(environ: dict[str, Any]) -> str:
    """What is called: by the header in JSON's protocols, by a field in the query protocol."""
    target: str = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        return target.rpartition(".")[2]
    if not environ.get("CONTENT_TYPE", "").startswith(_FORM):
        return ""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return parse_qs(body.decode()).get("Action", [""])[0]
