"""`configuration`: the stored versions of each source, what one holds, how two differ.

Reads the bucket and nothing else: no source is asked, nothing is decrypted. Where a secret is,
that it is one is said, and in a comparison that it differs.
"""

import sys
from argparse import Namespace
from typing import Any

from ledgerkeep.catalog.models import ProofLevel
from ledgerkeep.cli.output import Output
from ledgerkeep.cli.session import open_session
from ledgerkeep.configuration.compare import compare
from ledgerkeep.configuration.difference import value_lines
from ledgerkeep.configuration.proof import ConfigurationProof
from ledgerkeep.configuration.recovery.form import read_version
from ledgerkeep.configuration.recovery.plan import choose
from ledgerkeep.configuration.recovery.request import ConfigurationRequest
from ledgerkeep.configuration.registry import configuration_of, settings_of, source_names
from ledgerkeep.configuration.summary import changed_lines
from ledgerkeep.configuration.versions import ConfigurationVersion, StoredVersions
from ledgerkeep.progress import format_bytes


def list_versions(arguments: Namespace, output: Output) -> int:
    """The stored versions, source by source, oldest first."""
    versions = _open(arguments.environment)
    names = [arguments.source] if arguments.source else source_names(versions.policy)
    for name in names:
        settings_of(name, versions.policy)
    found = [(one, versions.level(one)) for name in names for one in versions.all(name)]
    if output.machine:
        rows = [{**one.model_dump(mode="json"), "level": level.word} for one, level in found]
        output.document({"environment": arguments.environment, "versions": rows})
        return 0
    if not found:
        where = f"{versions.store.location}/{arguments.environment}"
        output.lines([f"no version of {', '.join(names) or 'any source'} in {where}"])
        return 0
    columns = ["id", "source", "created (UTC)", "items", "changes", "major", "proof"]
    output.table(columns, [_row(one, level) for one, level in found], right=["items"])
    return 0


def show_version(arguments: Namespace, output: Output) -> int:
    """One version: what is known of it, what was shown, and what it holds."""
    versions = _open(arguments.environment)
    request = _request(arguments, arguments.version, versions)
    version = choose(versions, request)
    items = {key: one for key, one in versions.items(version).items() if request.covers(key)}
    proofs, level = versions.proofs(version), versions.level(version)
    shown = {key: value_lines(None, items[key]) for key in sorted(items)}
    if output.machine:
        output.document(
            {
                "version": version.model_dump(mode="json"),
                "level": level.word,
                "proofs": [proof.model_dump(mode="json") for proof in proofs],
                "items": shown,
            }
        )
        return 0
    output.table(["", ""], _facts(version, level))
    if proofs:
        output.table(["shown (UTC)", "level", "by", "not higher because"], _shown(proofs))
    output.lines([line for key, lines in shown.items() for line in (key, *lines)])
    return 0


def compare_versions(arguments: Namespace, output: Output) -> int:
    """What has changed from one version to another."""
    versions = _open(arguments.environment)
    asked = _request(arguments, arguments.old, versions)
    old, new = (
        choose(versions, asked),
        choose(versions, _request(arguments, arguments.new, versions)),
    )
    found = [
        one for one in compare(versions.items(old), versions.items(new)) if asked.covers(one.key)
    ]
    told = [(one, changed_lines([one], most=sys.maxsize)) for one in found]
    if output.machine:
        changes = [
            {"action": one.action, "key": one.key, "lines": lines[1:]} for one, lines in told
        ]
        output.document({"old": old.id, "new": new.id, "changes": changes})
        return 0
    opening = f"{arguments.source}: from {_named(old)} to {_named(new)}, {len(found)} changes"
    output.lines([opening, *(line for _, lines in told for line in lines)])
    return 0


def _open(environment: str) -> StoredVersions:
    session = open_session(environment)
    configuration_of(session.policy)
    return StoredVersions(session.catalog.store, session.policy)


def _request(arguments: Namespace, version: str, versions: StoredVersions) -> ConfigurationRequest:
    settings_of(arguments.source, versions.policy)
    return read_version(arguments.source, version, only=arguments.only or ())


def _row(version: ConfigurationVersion, level: ProofLevel) -> list[str]:
    return [
        version.id,
        version.source,
        _moment(version),
        str(version.item_count),
        _changes(version),
        version.major,
        level.word,
    ]


def _facts(version: ConfigurationVersion, level: ProofLevel) -> list[list[str]]:
    stored = version.items.size + (version.sealed.size if version.sealed else 0)
    attached = sum(one.size for one in version.attachments.values())
    return [
        ["id", version.id],
        ["source", version.source],
        ["of", version.scope.describe()],
        ["created (UTC)", _moment(version)],
        ["major", version.major or "no"],
        ["proof", level.word],
        ["items", f"{version.item_count}, {version.secret_count} secrets"],
        ["changes", f"{_changes(version)}, since {version.previous_id or 'nothing'}"],
        ["size", f"stored {format_bytes(stored)}, attached {format_bytes(attached)}"],
        ["content", f"sha256 {version.content_sha256}"],
        ["by", f"{version.run}, {version.made_by}"],
    ]


def _shown(proofs: list[ConfigurationProof]) -> list[list[str]]:
    return [
        [f"{one.shown_at:%Y-%m-%d %H:%M:%S}", one.level, one.run, one.stops_because]
        for one in proofs
    ]


def _changes(version: ConfigurationVersion) -> str:
    told: dict[str, Any] = {
        "new": version.created,
        "changed": version.updated,
        "gone": version.deleted,
    }
    return ", ".join(f"{count} {what}" for what, count in told.items() if count) or "none"


def _moment(version: ConfigurationVersion) -> str:
    return f"{version.created_at:%Y-%m-%d %H:%M:%S}"


def _named(version: ConfigurationVersion) -> str:
    return f"{version.id} ({_moment(version)}Z)"
