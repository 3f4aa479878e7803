"""What a role is denied in its own policies, the AWS stand-in refuses: so one can be taken away.

moto obeys policies for everybody or for nobody. Here nobody needs a permission, and what an inline
policy of the role one has assumed denies by name is refused as the services refuse it.
(IAM user guide, policy evaluation logic: an explicit deny overrides everything.)
"""

import json
from collections.abc import Callable, Iterable
from typing import Any

from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.iam.models import iam_backends
from moto.sts.models import sts_backends

from include.sandbox.aws_requests import App, Caller, action_of, caller_of

_PARTITION = "aws"
_CODES = {"ec2": "UnauthorizedOperation"}


def obey_denials(app: App) -> App:
    """Refuse what the caller's role is denied."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        caller = caller_of(environ)
        action = action_of(environ) if caller and _denials(caller) else ""
        if caller and action and _is_denied(caller, action):
            in_json = "HTTP_X_AMZ_TARGET" in environ
            return _refuse(caller.service, action, start_response, in_json=in_json)
        return app(environ, start_response)

    return answer


def _denials(caller: Caller) -> list[IAMPolicy]:
    """The inline policies of the role that the caller has assumed."""
    assumed = sts_backends[caller.account][_PARTITION].get_assumed_role_from_access_key(caller.key)
    if assumed is None:
        return []
    iam, name = iam_backends[caller.account][_PARTITION], assumed.role_arn.rsplit("/", 1)[-1]
    for role in iam.roles.values():
        if role.name == name:
            return [IAMPolicy(document) for document in role.policies.values()]
    return []


def _is_denied(caller: Caller, action: str) -> bool:
    named = f"{caller.service}:{action}"
    return any(
        policy.is_action_permitted(named) is PermissionResult.DENIED for policy in _denials(caller)
    )


def _refuse(
    service: str, action: str, start_response: Callable[..., Any], *, in_json: bool
) -> Iterable[bytes]:
    said = f"not authorized to perform: {service}:{action} with an explicit deny"
    if in_json:
        start_response("400 Bad Request", [("Content-Type", "application/x-amz-json-1.1")])
        return [json.dumps({"__type": "AccessDeniedException", "message": said}).encode()]
    error = f"<Error><Code>{_CODES.get(service, 'AccessDenied')}</Code><Message>{said}</Message>"
    outer = ("Response", "Errors") if service == "ec2" else ("ErrorResponse",)
    opened = "".join(f"<{tag}>" for tag in outer)
    closed = "".join(f"</{tag}>" for tag in reversed(outer))
    start_response("403 Forbidden", [("Content-Type", "text/xml")])
    return [f"{opened}{error}</Error>{closed}".encode()]
