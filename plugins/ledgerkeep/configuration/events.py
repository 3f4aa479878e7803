"""What a message of the change queue says: which sources it concerns, and when it happened. Pure.

EventBridge sends the services' own events and the API calls that CloudTrail records; S3 may send
its notifications straight to the queue. Of a message only three things are kept, since its body
may hold what is nobody's business: CloudTrail masks the values of parameters and secrets, but not
the environment variables of a task definition.

What cannot be understood concerns every source: an export too many costs a minute, one too few
loses a change. What only read, or failed, changed nothing; so the exports' own requests never lead
to another export. (EventBridge user guide, Events via CloudTrail; Systems Manager user guide,
EventBridge event examples; S3 user guide, EventBridge event message structure and Event message
structure; CloudTrail user guide, record contents.)
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ledgerkeep.configuration.registry import settings_of, source_names
from ledgerkeep.model import Record, UtcDatetime
from ledgerkeep.policy.model import Policy

_SOURCES = {
    "ssm": "parameters",
    "secretsmanager": "secrets",
    "iam": "iam",
    "ec2": "security_groups",
    "kms": "kms",
    "wafv2": "waf",
    "ecs": "services",
    "codecommit": "repositories",
}
"""AWS service, as EventBridge and CloudTrail call it → the source that exports it."""
_LISTED_LATE = {"secretsmanager"}
"""Their listings may tell of a change only minutes after its event (ListSecrets)."""
_BY_CLOUDTRAIL = {"AWS API Call via CloudTrail", "AWS Service Event via CloudTrail"}
_NAME = re.compile(r"^[A-Za-z0-9 :/._-]{1,80}$")


class Notice(Record):
    """What is kept of a message."""

    what: str
    """Name of the event; nothing of its contents."""
    sources: list[str]
    """Those of the policy that it concerns; none: it changed nothing that is exported."""
    changed_at: UtcDatetime | None = None
    reread: bool = False
    """No listing tells of the change, or not yet, so everything has to be read."""


@dataclass(frozen=True)
class Concern:
    """What several notices say of one source."""

    changed_at: datetime | None
    """The first of the changes: the longest that one of them has waited."""
    reread: bool


def notices_of(body: str, policy: Policy) -> list[Notice]:
    """What a message says; one message of S3 may tell of several objects."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return [_unknown(policy)]
    if not isinstance(message, dict):
        return [_unknown(policy)]
    records = message.get("Records")
    if isinstance(records, list) and records:
        return [_of_s3_record(one, policy) for one in records]
    return [_of_event(message, policy)]


def concerns(notices: Iterable[Notice]) -> dict[str, Concern]:
    """Source → what is known of its changes."""
    found: dict[str, Concern] = {}
    for notice in notices:
        for source in notice.sources:
            before = found.get(source)
            found[source] = Concern(
                _earlier(before.changed_at if before else None, notice.changed_at),
                notice.reread or (before is not None and before.reread),
            )
    return found


def _of_event(event: Mapping[str, Any], policy: Policy) -> Notice:
    """An event in EventBridge's envelope."""
    kind, detail = str(event.get("detail-type")), event.get("detail")
    if not isinstance(detail, dict):
        return _unknown(policy)
    by_cloudtrail = kind in _BY_CLOUDTRAIL
    service = _service(detail.get("eventSource") if by_cloudtrail else event.get("source"))
    what = _name(detail.get("eventName") if by_cloudtrail else kind)
    at = _moment(detail.get("eventTime") if by_cloudtrail else event.get("time"))
    if by_cloudtrail and (detail.get("readOnly") is True or detail.get("errorCode")):
        return Notice(what=what, sources=[], changed_at=at)
    if service == "s3":
        sources = _with_bucket(_bucket(detail), policy)
    elif service in _SOURCES:
        sources = _named([_SOURCES[service]], policy)
    else:
        sources = source_names(policy)
    reread = "Tag" in what or service in _LISTED_LATE
    return Notice(what=what, sources=sources, changed_at=at, reread=reread)


def _of_s3_record(record: object, policy: Policy) -> Notice:
    """One record of a notification that S3 sent to the queue itself."""
    if not isinstance(record, dict) or record.get("eventSource") != "aws:s3":
        return _unknown(policy)
    return Notice(
        what=_name(record.get("eventName")),
        sources=_with_bucket(_bucket(record.get("s3")), policy),
        changed_at=_moment(record.get("eventTime")),
    )


def _unknown(policy: Policy) -> Notice:
    return Notice(what="a message that is no known event", sources=source_names(policy))


def _named(wanted: list[str], policy: Policy) -> list[str]:
    return [name for name in source_names(policy) if name in wanted]


def _with_bucket(bucket: str | None, policy: Policy) -> list[str]:
    """The sources that export objects of a bucket; all where the event does not name it."""
    names = source_names(policy)
    if bucket is None:
        return names
    return [name for name in names if bucket in settings_of(name, policy).buckets()]


def _bucket(detail: object) -> str | None:
    """Of S3's own event, or of an API call."""
    if not isinstance(detail, dict):
        return None
    for name, inner in (("bucket", "name"), ("requestParameters", "bucketName")):
        place = detail.get(name)
        if isinstance(place, dict) and isinstance(place.get(inner), str):
            return str(place[inner])
    return None


def _service(text: object) -> str:
    """`aws.ssm` and `ssm.amazonaws.com` are `ssm`."""
    if not isinstance(text, str):
        return ""
    return text.removeprefix("aws.").removesuffix(".amazonaws.com")


def _name(text: object) -> str:
    """A name that may be shown: whoever may write to the queue chose it."""
    return text if isinstance(text, str) and _NAME.match(text) else "an event without a name"


def _moment(text: object) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    known = [moment for moment in (one, other) if moment is not None]
    return min(known, default=None)
