"""Repositories as a source: an item for each, for each ref, and for each protected branch.

Listing the refs is one request, and its digest is the mark: a repository in which nothing has moved
is not copied. One that has is cloned whole into a directory of this worker, read, bundled and
removed. The bundle belongs to every ref of it, so each can be put back by itself. Refs that GitHub
keeps of pull requests are in the bundle but are no items: nobody can push them.

A ref is set only where it still is what the plan saw (a lease), and removed only when that very
ref is to be removed. What lies in Git LFS is not in a repository, and not in its bundle.
"""

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from ledgerkeep.configuration.access import Access
from ledgerkeep.configuration.items import Item
from ledgerkeep.configuration.source import (
    Attachment,
    Change,
    Found,
    Known,
    Planned,
    Scope,
    Source,
)
from ledgerkeep.configuration.sources.repositories.findings import findings_in
from ledgerkeep.configuration.sources.repositories.git import (
    Copy,
    Listed,
    Remote,
    empty_copy,
    environment_of,
    faults_in,
    make_bare,
)
from ledgerkeep.configuration.sources.repositories.github import GitHub, slug_of
from ledgerkeep.configuration.sources.repositories.hosts import Bare, Host, Isolated
from ledgerkeep.errors import ConfigurationError
from ledgerkeep.policy.configuration_sources import InfrastructureRepository, Repositories
from ledgerkeep.policy.model import Policy

_OWN = "ledgerkeep-restore-test-"
"""Directories of isolated places begin with it."""
_PROTECTION = "protection/"


def open_source(access: Access, settings: Repositories, policy: Policy) -> "CodeRepositories":
    """The repositories of a policy."""
    return CodeRepositories(
        settings,
        {one.name: _opened(access, settings, one) for one in settings.repositories},
        Scope(environment=policy.environment, account="git"),
    )


@dataclass(frozen=True)
class Opened:
    """A repository, ready to be asked."""

    settings: InfrastructureRepository
    remote: Remote
    host: Host | None
    """None: nobody tells of protection, and nobody sets a default branch."""

    def hides(self, ref: str) -> bool:
        """Whether the host keeps a ref to itself."""
        return self.settings.host == "github" and ref.startswith("refs/pull/")

    def listed(self) -> Listed:
        """Its refs that anybody can set."""
        return self.remote.listed().without(self.hides)


class CodeRepositories(Source):
    """Some repositories, or their copies in an isolated place."""

    name: ClassVar[str] = "repositories"

    def __init__(
        self,
        settings: Repositories,
        repositories: Mapping[str, Opened],
        owner: Scope,
        place: Path | None = None,
    ) -> None:
        """Nothing is asked yet.

        :param place: of an isolated one: the directory of all its repositories.
        """
        self.settings = settings
        self.repositories = repositories
        self.owner = owner
        self.place = place
        self._stored: dict[str, Copy] = {}
        """Objects of stored bundles that were needed so far, by repository."""

    def scope(self) -> Scope:
        """The environment's; which repository an item is of, its address says."""
        return self.owner

    def export(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        """Every repository: itself, its refs, its protected branches."""
        for name, one in sorted(self.repositories.items()):
            if self.place is not None and not self._directory(name).exists():
                continue
            yield from self._refs(name, one, known)
            protections = one.host.protections() if one.host else {}
            for branch, content in sorted(protections.items()):
                yield Found(f"{name}/{_PROTECTION}{branch}", content)

    def apply(self, change: Change) -> None:
        """Set one ref, one branch's protection, or the default branch."""
        name, _, rest = change.key.partition("/")
        one = self._named(name)
        if self.place is not None:
            self.place.mkdir(mode=0o700, exist_ok=True)
            make_bare(self._directory(name), one.remote.environment, self.settings.patience)
        if rest.startswith(_PROTECTION):
            self._protect(one, rest.removeprefix(_PROTECTION), change)
        elif rest:
            self._set(one, rest, change)
        else:
            self._set_default(one, change)

    def order(self, changes: Sequence[Planned]) -> list[Planned]:
        """Refs, then what names them, then what protects them; removals the other way round."""
        kept = [one for one in changes if one.action != "delete"]
        gone = [one for one in changes if one.action == "delete"]
        return [*sorted(kept, key=_rank), *sorted(gone, key=_rank, reverse=True)]

    def by_hand(self, change: Planned) -> str:
        """Repositories that the policy does not name, and what their host has no API for."""
        name, _, rest = change.key.partition("/")
        one = self.repositories.get(name)
        if one is None:
            return f"the policy names no repository {name}: add it there, then recover it"
        if rest.startswith(_PROTECTION):
            return "" if one.host else self._no_api(name, "protect the branch as the version says")
        if rest:
            return ""
        if change.after is None:
            return f"no repository is removed by a program: remove {name} at its host if it may go"
        return self._default_by_hand(name, one, change.after)

    def settled(self, keys: Iterable[str]) -> list[str]:
        """What `git fsck` says of each repository that was written."""
        problems: list[str] = []
        for name in sorted({key.partition("/")[0] for key in keys} & self.repositories.keys()):
            one = self.repositories[name]
            if self.place is not None:
                faults = faults_in(
                    self._directory(name), one.remote.environment, self.settings.patience
                )
            else:
                faults = one.remote.copied().faults()
            problems += [f"git fsck says of {name}: {fault}" for fault in faults]
        return problems

    def findings(self, items: Mapping[str, Item], before: Mapping[str, Item]) -> list[str]:
        """Releases' tags that moved, and default branches that are not protected as they must."""
        return list(findings_in(self.settings, items, before))

    def beside(self, label: str) -> "CodeRepositories":
        """Bare repositories in a directory of this worker; protection is noted beside them."""
        place = Path(tempfile.gettempdir()) / f"{_OWN}{label}"
        repositories = {
            name: Opened(
                one.settings,
                Remote(
                    name,
                    (place / f"{name}.git").as_uri(),
                    "",
                    self.settings.patience,
                    environment_of("", None),
                ),
                Isolated(place / f"{name}.git", self.settings.patience),
            )
            for name, one in self.repositories.items()
        }
        return CodeRepositories(self.settings, repositories, self.owner, place)

    def clear(self) -> None:
        """Remove the isolated place's directory."""
        if self.place is None or not self.place.name.startswith(_OWN):
            super().clear()
        elif self.place.exists():
            shutil.rmtree(self.place)

    # -- reading

    def _refs(self, name: str, one: Opened, known: Mapping[str, str]) -> Iterator[Found | Known]:
        listed = one.listed()
        keys = [name, *(f"{name}/{ref}" for ref in sorted(listed.refs))]
        if all(known.get(key) == listed.mark() for key in keys):
            yield from (Known(key) for key in keys)
            return
        content = {"url": one.settings.url, "default_branch": listed.head}
        if not listed.refs:
            yield Found(name, content, listed.mark())  # there is nothing to bundle
            return
        copy = one.remote.copied()
        facts = {ref: told for ref, told in copy.refs().items() if not one.hides(ref)}
        # What it has now, and not a moment ago when it was listed.
        mark = Listed(listed.head, {ref: str(told["object"]) for ref, told in facts.items()}).mark()
        bundle = Attachment(copy.bundle, mark)
        yield Found(name, content, mark, bundle)
        for ref, told in sorted(facts.items()):
            yield Found(f"{name}/{ref}", told, mark, bundle)

    # -- writing

    def _set(self, one: Opened, ref: str, change: Change) -> None:
        live = one.remote.listed().refs.get(ref, "")
        wanted = str(change.wanted["object"]) if change.wanted else ""
        if live == wanted:
            return
        seen = str(change.live["object"]) if change.live else ""
        if live != seen:
            raise one.remote.moved(ref)
        one.remote.push(ref, seen, wanted, self._with(one, wanted, change))

    def _with(self, one: Opened, wanted: str, change: Change) -> Copy:
        """A repository that has the object to push."""
        name = one.remote.name
        if name not in self._stored:
            self._stored[name] = empty_copy(self.settings.patience)
        copy = self._stored[name]
        if wanted and not copy.has(wanted) and change.attachment is not None:
            copy.take_in(change.attachment())
        if wanted and not copy.has(wanted):
            raise ConfigurationError(
                f"the stored bundle of {name} does not hold {wanted[:12]}",
                hint="use another version",
            )
        return copy

    def _protect(self, one: Opened, branch: str, change: Change) -> None:
        if one.host is None:
            raise ConfigurationError(
                f"nobody can be told to protect {branch} of {one.remote.name}",
                hint=self._no_api(one.remote.name, "do it by hand"),
            )
        if change.wanted is None:
            one.host.unprotect(branch)
        else:
            one.host.protect(branch, change.wanted, change.live)

    def _set_default(self, one: Opened, change: Change) -> None:
        branch = change.wanted["default_branch"] if change.wanted else ""
        if branch and one.host is not None:
            one.host.set_default(branch)

    def _default_by_hand(self, name: str, one: Opened, after: Item) -> str:
        branch, url = after.content["default_branch"], after.content["url"]
        if url != one.settings.url:
            return f"the version of {name} is of {url}: correct its url in the policy, if it moved"
        if one.host is None and branch:
            return self._no_api(name, f"make {branch} its default branch")
        return ""

    def _no_api(self, name: str, what: str) -> str:
        return f"{what}: the policy names no API of the host of {name}"

    def _named(self, name: str) -> Opened:
        if name not in self.repositories:
            raise ConfigurationError(
                f"the policy names no repository {name}", hint="add it there, then recover it"
            )
        return self.repositories[name]

    def _directory(self, name: str) -> Path:
        return (self.place or Path(tempfile.gettempdir())) / f"{name}.git"


def _opened(access: Access, settings: Repositories, one: InfrastructureRepository) -> Opened:
    connection = one.connection_id or settings.connection_id
    login = access.login(connection) if connection else None
    environment = environment_of(one.url, login)
    remote = Remote(one.name, one.url, connection or "", settings.patience, environment)
    return Opened(one, remote, _host_of(one, login, connection, settings))


def _host_of(
    one: InfrastructureRepository, login: Any, connection: str | None, settings: Repositories
) -> Host | None:
    if one.host == "github" and login is not None:
        patience = settings.patience.total_seconds()
        return GitHub(login, connection or "", slug_of(one.url), patience)
    if one.url.startswith("file://"):
        return Bare(Path(urlsplit(one.url).path), settings.patience)
    return None


def _rank(change: Planned) -> tuple[int, str]:
    rest = change.key.partition("/")[2]
    if rest.startswith(_PROTECTION):
        return 2, change.key
    return (0 if rest else 1), change.key
