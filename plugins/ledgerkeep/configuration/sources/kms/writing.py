"""One key's settings put back, in the order in which KMS takes them.

A scheduled deletion is cancelled first, since nothing can be set before; the policy comes next,
since it decides who may do the rest; a key is disabled last. The check against a policy that would
shut out whoever sets it (BypassPolicyLockoutSafetyCheck) stays on. Each step is taken only where
what is live differs, so doing it again does what is left to do.
(KMS API reference: CancelKeyDeletion, PutKeyPolicy, EnableKeyRotation, UpdateAlias, CreateGrant.)
"""

from collections.abc import Mapping
from typing import Any

from ledgerkeep.configuration.items import canonical
from ledgerkeep.configuration.sources.kms.api import Api

Content = Mapping[str, Any]


def cancel_deletion(api: Api, key_id: str) -> None:
    """The key is disabled after it (CancelKeyDeletion)."""
    api.send(f"cancel the deletion of {key_id}", lambda: api.kms.cancel_key_deletion(KeyId=key_id))


def put(api: Api, key_id: str, live: Content, wanted: Content) -> None:
    """Set what differs, of what a program can set; the deletion is no longer scheduled."""
    if live["policy"] != wanted["policy"]:
        put_policy(api, key_id, canonical(wanted["policy"]).decode())
    if live["state"] == "Disabled" and wanted["state"] == "Enabled":
        api.send(f"enable {key_id}", lambda: api.kms.enable_key(KeyId=key_id))
    if live["rotation"] != wanted["rotation"]:
        _set_rotation(api, key_id, wanted["rotation"])
    if live["description"] != wanted["description"]:
        api.send(
            f"describe {key_id}",
            lambda: api.kms.update_key_description(KeyId=key_id, Description=wanted["description"]),
        )
    _set_tags(api, key_id, live["tags"], wanted["tags"])
    _set_aliases(api, key_id, wanted["aliases"])
    for grant in wanted["grants"]:
        if grant not in live["grants"]:
            _grant(api, key_id, grant)
    if live["state"] == "Enabled" and wanted["state"] == "Disabled":
        api.send(f"disable {key_id}", lambda: api.kms.disable_key(KeyId=key_id))


def put_policy(api: Api, key_id: str, policy: str) -> None:
    """Set a key's policy."""
    api.send(
        f"set the policy of {key_id}",
        lambda: api.kms.put_key_policy(
            KeyId=key_id,
            PolicyName="default",
            Policy=policy,
            BypassPolicyLockoutSafetyCheck=False,
        ),
    )


def _set_rotation(api: Api, key_id: str, rotation: Content) -> None:
    what = f"set the rotation of {key_id}"
    if rotation.get("enabled"):
        days = rotation["days"]
        api.send(
            what,
            lambda: api.kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=days),
        )
    else:
        api.send(what, lambda: api.kms.disable_key_rotation(KeyId=key_id))


def _set_tags(api: Api, key_id: str, live: Content, wanted: Content) -> None:
    changed = {key: value for key, value in wanted.items() if live.get(key) != value}
    gone = sorted(live.keys() - wanted.keys())
    if changed:
        tags: list[Any] = [{"TagKey": key, "TagValue": changed[key]} for key in sorted(changed)]
        api.send(f"tag {key_id}", lambda: api.kms.tag_resource(KeyId=key_id, Tags=tags))
    if gone:
        api.send(
            f"remove tags of {key_id}",
            lambda: api.kms.untag_resource(KeyId=key_id, TagKeys=gone),
        )


def _set_aliases(api: Api, key_id: str, wanted: list[str]) -> None:
    """An alias that leads to another key is moved, so that it always leads to one."""
    by_key = api.aliases()
    taken = {name for names in by_key.values() for name in names}
    here = set(by_key.get(key_id, []))
    for name in sorted(set(wanted) - here):
        move = api.kms.update_alias if name in taken else api.kms.create_alias
        api.send(
            f"let {name} lead to {key_id}",
            lambda name=name, move=move: move(AliasName=name, TargetKeyId=key_id),  # type: ignore[misc]
        )
    for name in sorted(here - set(wanted)):
        api.send(
            f"remove {name}",
            lambda name=name: api.kms.delete_alias(AliasName=name),  # type: ignore[misc]
        )


def _grant(api: Api, key_id: str, grant: Content) -> None:
    told: dict[str, Any] = {
        "KeyId": key_id,
        "GranteePrincipal": grant["grantee"],
        "RetiringPrincipal": grant["retiring"],
        "Operations": list(grant["operations"]),
        "Constraints": dict(grant["constraints"]),
        "Name": grant["name"],
    }
    request = {name: value for name, value in told.items() if value}
    api.send(
        f"grant {grant['grantee']} the use of {key_id}", lambda: api.kms.create_grant(**request)
    )
