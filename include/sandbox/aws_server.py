"""The sandbox's AWS: moto, and what it lacks for configuration to be backed up and put back.

- KMS keys that outlive a restart. moto keeps everything in memory; on AWS a key is the one thing
  that does not go away, and without it nothing that was sealed is ever opened again. The keys that
  the policies name are made with an id and a material that follow from the sandbox's seed.
- Changes that are told. On AWS, CloudTrail records every call that changes something and
  EventBridge passes it on ("AWS API Call via CloudTrail"); moto does neither. Here what wraps it
  puts each such call on the account's event bus, and moto's own rules and queues do the rest. So
  it does with objects that are written or deleted, as S3 tells them itself.
- Permissions that can be taken away, see `include.sandbox.aws_denials`.

`python -m include.sandbox.aws_server --host 127.0.0.1 --port 5000`, with the seed in the
environment variable SANDBOX_ACCOUNT_SEED.
(AWS CloudTrail user guide, record contents; Amazon EventBridge user guide, events from AWS
services by CloudTrail: calls that only read are not among them.)
"""

import argparse
import json
import os
import re
import signal
import sys
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moto.events.models import events_backends
from moto.kms.models import Key, kms_backends
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import run_simple

from include.sandbox import environment
from include.sandbox.aws_denials import obey_denials
from include.sandbox.aws_requests import App, Caller, action_of, caller_of
from include.sandbox.lender import seed as from_seed
from include.sandbox.lender.account import account_id
from include.sandbox.lender.keys import kms_keys
from include.sandbox.web_firewall import complete_moto
from ledgerkeep.policy.load import load_policies
from ledgerkeep.policy.model import Policy

TOLD = ("ssm", "secretsmanager", "iam", "ec2", "kms", "wafv2", "ecs")
"""Services whose changes are told."""

_READS = re.compile(r"(BatchGet|Check|Decrypt|Describe|Encrypt|Generate|Get|List|Simulate)")


def make_keys(policies: Iterable[Policy], seed: str) -> None:
    """Make every KMS key that the environments' accounts have, the same each time."""
    for policy in policies:
        if policy.configuration is None:
            continue
        account, region = account_id(policy.environment), policy.configuration.region
        for alias, description in kms_keys(policy).items():
            _make_key(account, region, alias, description, seed)


def tell_changes(app: App) -> App:
    """Put each call that changes something on the event bus of the caller's account."""

    def told(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        caller = caller_of(environ)
        event = caller and _change(caller, environ)
        answered: list[str] = []

        def note(status: str, *rest: Any) -> Any:
            answered.append(status)
            return start_response(status, *rest)

        body = app(environ, note)
        if caller and event and answered[0].startswith("2"):
            events_backends[caller.account][caller.region].put_events([event])
        return body

    return told


def wrapped(app: App) -> App:
    """What every request to the sandbox's AWS goes through."""
    return tell_changes(obey_denials(app))


def serve(wrap: Callable[[App], App] = wrapped) -> None:
    """Serve as the command line says, until it is killed.

    :param wrap: what every request goes through.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--policies", type=Path, default=environment.POLICIES)
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    make_keys(load_policies(asked.policies), os.environ[environment.ACCOUNT_SEED])
    complete_moto()
    run_simple(
        asked.host,
        asked.port,
        wrap(DomainDispatcherApplication(create_backend_app)),
        threaded=True,
        request_handler=MotoRequestHandler,
    )


def _make_key(account: str, region: str, alias: str, description: str, seed: str) -> None:
    backend = kms_backends[account][region]
    made: Key = backend.create_key(
        policy=None,
        key_usage="ENCRYPT_DECRYPT",
        key_spec="SYMMETRIC_DEFAULT",
        description=description,
        tags=[],
    )
    made_id, made.id = made.id, from_seed.key_id(seed, account, region, alias)
    made.arn = made.arn.replace(made_id, made.id)
    made.key_material = from_seed.key_material(seed, account, region, alias)
    backend.keys[made.id] = backend.keys.pop(made_id)
    backend.create_alias(made.id, alias)


def _change(caller: Caller, environ: dict[str, Any]) -> dict[str, str] | None:
    """The event that a request leads to if it succeeds; None where it changes nothing."""
    if caller.service == "s3":
        return _object_event(environ["REQUEST_METHOD"], environ["PATH_INFO"])
    action = action_of(environ) if caller.service in TOLD else ""
    if not action or _READS.match(action):
        return None
    return _call_event(caller, action)


def _call_event(caller: Caller, action: str) -> dict[str, str]:
    """As CloudTrail does, without the request's parameters: they may hold secrets."""
    record = {
        "eventVersion": "1.11",
        "eventID": str(uuid.uuid4()),
        "eventTime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "eventSource": f"{caller.service}.amazonaws.com",
        "eventName": action,
        "awsRegion": caller.region,
        "recipientAccountId": caller.account,
        "readOnly": False,
        "managementEvent": True,
        "eventCategory": "Management",
        "eventType": "AwsApiCall",
    }
    return _event(caller.service, "AWS API Call via CloudTrail", record)


def _object_event(method: str, path: str) -> dict[str, str] | None:
    """As S3 does; the path is `/bucket/key`, since the stand-in's address has no bucket's name."""
    bucket, _, key = path.removeprefix("/").partition("/")
    kind = {"PUT": "Object Created", "DELETE": "Object Deleted"}.get(method)
    if not kind or not key:
        return None
    return _event("s3", kind, {"bucket": {"name": bucket}, "object": {"key": key}})


def _event(service: str, kind: str, detail: dict[str, Any]) -> dict[str, str]:
    return {"Source": f"aws.{service}", "DetailType": kind, "Detail": json.dumps(detail)}


if __name__ == "__main__":
    serve()
