"""States of Terraform's s3 backend: what may be written over what.

A state is listed with its ETag, so one that has not changed is not read. It is written only while
its lock is held, only over the state that the plan saw, and only where the lineage is the same:
states of two lineages describe two infrastructures, whatever their names. The serial becomes one
more than the live one's, since Terraform takes a lower one for an old copy; and the digest that the
backend keeps in the lock table is set, since Terraform reads no state that does not have it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from ledgerkeep.configuration.access import Access
from ledgerkeep.configuration.items import opened
from ledgerkeep.configuration.settings import account_of, connection_of
from ledgerkeep.configuration.source import Change, Found, Known, Planned, Scope, Source
from ledgerkeep.configuration.sources.terraform_state.locks import locked, our_lock
from ledgerkeep.configuration.sources.terraform_state.plan import Verification
from ledgerkeep.configuration.sources.terraform_state.state import content_of, with_serial
from ledgerkeep.configuration.sources.terraform_state.store import OWN, Live, StateStore, digest
from ledgerkeep.errors import ConfigurationError, SourceChanged
from ledgerkeep.policy.configuration_sources import TerraformState
from ledgerkeep.policy.model import Policy


def open_source(access: Access, settings: TerraformState, policy: Policy) -> "States":
    """The states of a policy."""
    connection, usual = connection_of(settings, policy)
    region = settings.region or usual
    store = StateStore(
        settings=settings,
        s3=access.client("s3", connection, region),
        dynamodb=access.client("dynamodb", connection, region) if settings.lock_table else None,
    )
    owner = account_of(access, settings, policy).model_copy(update={"region": region})
    return States(store, owner)


@dataclass(frozen=True)
class States(Source):
    """States below some prefixes of a bucket, and at some keys."""

    name: ClassVar[str] = "terraform_state"
    store: StateStore
    owner: Scope

    def scope(self) -> Scope:
        """The AWS account, and the bucket's region."""
        return self.owner

    def export(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        """Every state, by key."""
        for key, etag in sorted(self.store.listed().items()):
            if known.get(key) == etag:
                yield Known(key)
                continue
            live = self.store.read(key)
            if live is not None:  # else it went since it was listed
                yield Found(key, content_of(live.state), live.etag)

    def apply(self, change: Change) -> None:
        """Write one state back, or remove it, while its lock is held."""
        info = our_lock(self.owner.environment, self.store.path(change.key))
        with locked(self.store.locks(change.key), info):
            live = self.store.read(change.key)
            if change.wanted is None:
                self._remove(change.key, live)
            else:
                self._restore(change, change.wanted, live)

    def by_hand(self, change: Planned) -> str:
        """A state of another lineage, and the removal of one that still describes resources."""
        if change.before is None:
            return ""
        live = change.before.content
        if change.after is None:
            return _doomed(change.key) if live["resources"] else ""
        if live["lineage"] == change.after.content["lineage"]:
            return ""
        return (
            f"the state {change.key} has the lineage {live['lineage']}, the version's has "
            f"{change.after.content['lineage']}: they describe two infrastructures; find out which "
            "is meant, and move the live state away before the other one is restored"
        )

    def settled(self, keys: Iterable[str]) -> list[str]:
        """What the lock table and `terraform plan` say of states that were written."""
        problems: list[str] = []
        for key in sorted(keys):
            problems += self._undigested(key)
            if not self.store.place:  # nobody's code has its state in an isolated place
                problems += self._verified(key)
        return problems

    def beside(self, label: str) -> "States":
        """The same states below a prefix of their own, locked there too."""
        return replace(self, store=replace(self.store, place=f"{OWN}{label}/"))

    def clear(self) -> None:
        """Remove all versions of everything below the isolated prefix, and its lock items."""
        if not self.store.place.startswith(OWN):
            super().clear()
        self.store.clear()

    def _restore(self, change: Change, wanted: Mapping[str, object], live: Live | None) -> None:
        key, text = change.key, opened(wanted["text"])  # type: ignore[arg-type]
        if live is not None and live.state.same_but_for_serial(text):
            self.store.record_digest(key, live.state.text)
            return
        if live is not None and live.state.lineage != wanted["lineage"]:
            raise ConfigurationError(
                f"the state {self.store.path(key)} has the lineage {live.state.lineage}, the "
                f"version's has {wanted['lineage']}",
                hint="they describe two infrastructures; nothing was written",
            )
        seen = opened(change.live["text"]) if change.live else None
        if live is not None and (seen is None or not live.state.same_but_for_serial(seen)):
            raise self._moved(key)
        serial = live.state.serial if live else self.store.last_serial(key)
        written = with_serial(text, serial + 1)
        if not self.store.write(key, written, live):
            raise self._moved(key)
        self.store.record_digest(key, written)

    def _remove(self, key: str, live: Live | None) -> None:
        if live is not None and live.state.document.get("resources"):
            raise ConfigurationError(
                f"the state {self.store.path(key)} still describes resources", hint=_doomed(key)
            )
        if live is not None:
            self.store.remove(key)
        self.store.forget_digest(key)

    def _moved(self, key: str) -> SourceChanged:
        return SourceChanged(
            f"the state {self.store.path(key)} was written by somebody since it was looked at",
            hint="compare again, and see whether it still has to be restored",
        )

    def _undigested(self, key: str) -> list[str]:
        live, recorded = self.store.read(key), self.store.recorded_digest(key)
        if live is None or recorded is None or recorded == digest(live.state.text):
            return []
        return [f"the lock table has another digest than that of the state {self.store.path(key)}"]

    def _verified(self, key: str) -> list[str]:
        settings = self.store.settings
        for plan in settings.plans:
            if plan.key == key:
                return Verification(settings.bucket, plan, settings.patience).problems()
        return [f"not verified: {key}: the policy names no directory of its code"]


def _doomed(key: str) -> str:
    return (
        f"let terraform destroy the resources that the state {key} describes, then remove it; "
        "without a state nobody would know of them"
    )
