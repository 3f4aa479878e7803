"""A secret in its canonical form, from what the service answers. Pure.

What a copy in an isolated place is not set to (rotation, replicas) is kept in its tags, so that the
copy can be compared with what it is one of.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ledgerkeep.configuration.items import Content, Secret

CURRENT, PENDING = "AWSCURRENT", "AWSPENDING"
_DEFAULT_KEY = "alias/aws/secretsmanager"
_BY_ITSELF = {"LastAccessedDate", "LastRotatedDate", "NextRotationDate"}
_ASLEEP = "ledgerkeep-restore-test-"
"""Tags of a copy that hold what it is not set to."""
_LONGEST_TAG = 256


def mark_of(listed: Mapping[str, Any]) -> str:
    """What a listing tells of a secret, but what changes by itself."""
    told = {name: one for name, one in listed.items() if name not in _BY_ITSELF}
    text = json.dumps(told, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def has_value(listed: Mapping[str, Any]) -> bool:
    """Whether a listed secret has a current value."""
    stages = listed.get("SecretVersionsToStages", {}).values()
    return any(CURRENT in labels for labels in stages)


def lacks_value(content: Mapping[str, Any]) -> bool:
    """Whether a secret in canonical form has no current value."""
    return CURRENT not in content.get("versions", {})


def value_of(answer: Mapping[str, Any]) -> Content:
    """A value as the service answers it: a text, or bytes in base64."""
    if "SecretString" in answer:
        return {"string": Secret(answer["SecretString"])}
    return {"binary": Secret(base64.b64encode(answer["SecretBinary"]).decode())}


def value_request(value: Mapping[str, Secret]) -> dict[str, Any]:
    """A value as the service takes it."""
    if "string" in value:
        return {"SecretString": value["string"].value}
    return {"SecretBinary": base64.b64decode(value["binary"].value)}


def content_of(
    described: Mapping[str, Any], versions: Mapping[str, Content], policy: Content
) -> dict[str, Content]:
    """A secret in canonical form.

    :param versions: staging label → value.
    """
    tags = {one["Key"]: one["Value"] for one in described.get("Tags", [])}
    return {
        "type": described.get("Type", ""),
        "description": described.get("Description", ""),
        "key_id": _key_id(described),
        # Tags of AWS itself can be set by nobody else.
        "tags": {key: tags[key] for key in sorted(tags) if not key.startswith("aws:")},
        "policy": policy,
        "rotation": _rotation(described),
        "replicas": replicas_of(described),
        "owning_service": described.get("OwningService", ""),
        "versions": versions,
    }


def _rotation(described: Mapping[str, Any]) -> dict[str, Content]:
    """As RotateSecret takes it; empty where it is off."""
    if not described.get("RotationEnabled"):
        return {}
    names = (
        *("RotationLambdaARN", "RotationRules"),
        *("ExternalSecretRotationMetadata", "ExternalSecretRotationRoleArn"),
    )
    found = {name: described[name] for name in names if described.get(name)}
    rules = found.get("RotationRules", {})
    if "ScheduleExpression" in rules:
        # The days are calculated from the schedule then, and RotateSecret takes only one of both.
        kept = {name: one for name, one in rules.items() if name != "AutomaticallyAfterDays"}
        found["RotationRules"] = kept
    return found


def replicas_of(described: Mapping[str, Any]) -> dict[str, str]:
    """Region → key; empty: the region's own key of Secrets Manager."""
    replicas = described.get("ReplicationStatus", [])
    return {one["Region"]: _key_id(one) for one in sorted(replicas, key=lambda one: one["Region"])}


def _key_id(described: Mapping[str, Any]) -> str:
    found: str = described.get("KmsKeyId") or ""
    return "" if found == _DEFAULT_KEY else found


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as the service takes them."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


_SLEEPING: dict[str, Content] = {"type": "", "rotation": {}, "replicas": {}, "owning_service": ""}
"""What a copy in an isolated place is not set to, and what it has instead."""


def asleep(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """A copy that does nothing by itself; what it would do is in its tags."""
    kept = json.dumps({name: wanted[name] for name in _SLEEPING})
    text = base64.b64encode(kept.encode()).decode()
    parts = [text[at : at + _LONGEST_TAG] for at in range(0, len(text), _LONGEST_TAG)]
    tags = {f"{_ASLEEP}{number:02}": part for number, part in enumerate(parts)}
    return {**wanted, **_SLEEPING, "tags": {**wanted["tags"], **tags}}


def awake(content: Mapping[str, Any]) -> dict[str, Content]:
    """What the copy is one of."""
    tags: Mapping[str, str] = content["tags"]
    text = "".join(tags[name] for name in sorted(tags) if name.startswith(_ASLEEP))
    own = {name: one for name, one in tags.items() if not name.startswith(_ASLEEP)}
    kept = json.loads(base64.b64decode(text)) if text else {}
    return {**content, **kept, "tags": own}
