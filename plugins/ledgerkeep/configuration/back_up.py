"""Exporting one source: a new version only when what it holds has changed.

What the source says is unchanged is taken from the newest version without being read again; the
rest is read, marked and compared. Only then is it decided whether there is anything to store, so a
run in which nothing has changed writes nothing, and seldom decrypts anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ledgerkeep import __version__
from ledgerkeep.configuration.compare import compare
from ledgerkeep.configuration.items import Item, Marker, content_digest
from ledgerkeep.configuration.source import Attachment, Known, Planned, Scope, Source
from ledgerkeep.configuration.versions import (
    ConfigurationVersion,
    Draft,
    Values,
    VersionFacts,
    Versions,
    new_version_id,
)
from ledgerkeep.errors import ConfigurationError, ForeignVersion
from ledgerkeep.model import utc_now
from ledgerkeep.storage.port import StoredObject


@dataclass(frozen=True)
class Asked:
    """Who asked for an export, and why."""

    run: str
    """`dag_id/run_id`, or `cli`."""
    major: str = ""
    """Why this is a major version, which is stored although nothing has changed."""
    changed_at: datetime | None = None
    """When the change was made, where an event told of it."""
    reread: bool = False
    """Read everything, also what the source says is unchanged."""


@dataclass(frozen=True)
class Live:
    """What a source holds now."""

    items: Mapping[str, Item]
    values: Values
    """Of the secrets that were read; what is `Known` has its values in the newest version."""
    attachments: Mapping[str, Attachment]
    unread: frozenset[str]
    """Keys of what was not read, being unchanged."""


@dataclass(frozen=True)
class BackedUp:
    """What came of an export."""

    version: ConfigurationVersion
    """The new one; or the newest, which still says what is live."""
    is_new: bool
    changes: list[Planned]
    """What has changed since the version before."""
    items: int
    read_items: int
    """Without those that the source said are unchanged."""
    findings: list[str] = field(default_factory=list)
    """What the source says is not as it must be."""


def back_up(source: Source, versions: Versions, marker: Marker, asked: Asked) -> BackedUp:
    """Export a source, and store a version if it has changed.

    :raises ForeignVersion: the stored versions are of another account than the source.
    :raises ConfigurationError, AwsRefused, ServiceRefused, StorageError:
    """
    newest = versions.newest(source.name)
    scope = source.scope()
    if newest is not None:
        refuse_foreign(newest, scope)
    stored = versions.items(newest) if newest else {}
    live = read_live(source, marker, {} if asked.reread else stored)
    changes = compare(stored, live.items)
    findings = source.findings(live.items, stored)
    unchanged = newest is not None and newest.content_sha256 == content_digest(live.items.values())
    if newest is not None and unchanged and not asked.major:
        return BackedUp(newest, False, [], len(live.items), _read_count(live), findings)
    draft = _draft(source.name, scope, live, changes, newest, versions, asked)
    version = versions.write(draft)
    return BackedUp(version, True, changes, len(live.items), _read_count(live), findings)


def read_live(source: Source, marker: Marker, stored: Mapping[str, Item]) -> Live:
    """What a source holds now.

    :param stored: what need not be read again where the source says it is unchanged.
    :raises ConfigurationError: the source names a thing twice, or knows what nobody told it.
    """
    items: dict[str, Item] = {}
    values: Values = {}
    attachments: dict[str, Attachment] = {}
    unread: set[str] = set()
    for found in source.export({key: item.mark for key, item in stored.items() if item.mark}):
        if found.key in items or (isinstance(found, Known) and found.key not in stored):
            raise ConfigurationError(
                f"{source.name} tells of {found.key} twice, or of a state that is not stored",
                hint="run it again, reading everything; if it persists, the source is at fault",
            )
        if isinstance(found, Known):
            items[found.key] = stored[found.key]
            unread.add(found.key)
            continue
        marked = marker.mark(found.key, found.content, found.mark)
        items[found.key] = marked.item
        if marked.secrets:
            values[found.key] = dict(marked.secrets)
        if found.attachment is not None:
            attachments[found.key] = found.attachment
    return Live(items, values, attachments, frozenset(unread))


def refuse_foreign(version: ConfigurationVersion, scope: Scope) -> None:
    """A version of another environment, account or tenant is not what is live here.

    :raises ForeignVersion:
    """
    if version.scope != scope:
        raise ForeignVersion(
            f"version {version.id} of {version.source} is of {version.scope.describe()}, and the "
            f"connection leads to {scope.describe()}",
            hint="correct the connection in the policy; if the system has moved, let the new one "
            "have an environment or a bucket of its own",
        )


def _draft(
    name: str,
    scope: Scope,
    live: Live,
    changes: list[Planned],
    newest: ConfigurationVersion | None,
    versions: Versions,
    asked: Asked,
) -> Draft:
    now = utc_now()
    version_id = new_version_id(now)
    facts = VersionFacts(
        id=version_id,
        source=name,
        scope=scope,
        created_at=now,
        made_by=f"ledgerkeep {__version__}",
        run=asked.run,
        major=asked.major,
        changed_at=asked.changed_at,
        content_sha256=content_digest(live.items.values()),
        item_count=len(live.items),
        attachments=_attach(name, version_id, live, newest, versions),
        previous_id=newest.id if newest else None,
        created=sum(one.action == "create" for one in changes),
        updated=sum(one.action == "update" for one in changes),
        deleted=sum(one.action == "delete" for one in changes),
    )
    return Draft(facts, live.items, _values(live, newest, versions))


def _values(live: Live, newest: ConfigurationVersion | None, versions: Versions) -> Values:
    """Of all secrets: those that were read, and of what was not read those that are stored."""
    if newest is None or not live.unread:
        return live.values
    before = versions.values(newest)
    return {**{key: before[key] for key in live.unread & before.keys()}, **live.values}


def _attach(
    name: str,
    version_id: str,
    live: Live,
    newest: ConfigurationVersion | None,
    versions: Versions,
) -> dict[str, StoredObject]:
    """Store what belongs to items that have changed; the rest is where it was.

    Its name says of which content it is and which version brought it: the same content may have
    other bytes the next time (a git bundle has), and an interrupted run may have left some.
    """
    before = newest.attachments if newest else {}
    kept = {key: before[key] for key in live.unread & before.keys()}
    stored = {_name_of(one): one for one in before.values()}
    for key, attachment in live.attachments.items():
        told = attachment.name or live.items[key].digest()
        if told not in stored:
            stored[told] = versions.attach(name, f"{told}-{version_id}", attachment.read())
        kept[key] = stored[told]
    return kept


def _name_of(attached: StoredObject) -> str:
    """What tells it apart from others, without the version that brought it."""
    return attached.key.rsplit("/", 1)[-1].partition("-")[0]


def _read_count(live: Live) -> int:
    return len(live.items) - len(live.unread)
