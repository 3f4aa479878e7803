"""The check of both buckets' settings: read, compare, and say what a repair would do.

What is approved is an outline: which property of which bucket becomes what, by digest. It is small
enough to travel between tasks; the values themselves are read and decided anew by whoever carries
them out, and hold only if they come to the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ledgerkeep.documents.protection.compare import compare
from ledgerkeep.documents.protection.lines import Line
from ledgerkeep.documents.protection.proposal import Change, Proposal, propose
from ledgerkeep.documents.protection.settings import read_settings
from ledgerkeep.documents.protection.store import Property, Store
from ledgerkeep.documents.protection.wanted import Wanted
from ledgerkeep.errors import StorageError
from ledgerkeep.model import Record
from ledgerkeep.storage.bucket import Bucket

_SHOWN = 1_500
"""Characters of a change that an approver reads; a log has all of them."""


@dataclass(frozen=True)
class Side:
    """One of the two buckets, opened."""

    bucket: Bucket
    store: Store
    wanted: Wanted


@dataclass(frozen=True)
class Checked:
    """What a check of the settings came to."""

    lines: list[Line]
    proposal: Proposal

    @property
    def grave(self) -> list[Line]:
        """What fails the run."""
        return [line for line in self.lines if line.is_grave]

    @property
    def counts(self) -> dict[str, int]:
        """Lines by their verdict."""
        verdicts = ("fulfilled", "drift", "not applicable", "not told")
        return {
            verdict: sum(line.verdict == verdict for line in self.lines) for verdict in verdicts
        }


class OutlinedChange(Record):
    """One change, by the digest of its values."""

    bucket: str
    setting: Property
    change_digest: str


class Outline(Record):
    """All changes of a proposal."""

    changes: list[OutlinedChange]


def check_settings(sides: Sequence[Side]) -> Checked:
    """Compare every bucket with its policy.

    :param sides: the documents' bucket first; repairs begin with the last, since nothing can be
        replicated into a bucket without versions.
    :raises StorageError:
    """
    compared = []
    for side in sides:
        settings = read_settings(side.bucket, side.store)
        compared.append((settings, side.wanted, compare(settings, side.wanted)))
    lines = [line for _, _, found in compared for line in found]
    return Checked(lines, propose(compared[::-1]))


def outline(proposal: Proposal) -> Outline:
    """What there is to approve."""
    return Outline(
        changes=[
            OutlinedChange(bucket=one.bucket, setting=one.setting, change_digest=one.digest())
            for one in proposal.changes
        ]
    )


def approved_changes(proposal: Proposal, approved: Outline) -> list[Change]:
    """Those of the changes that were approved; what needs none any more is left out.

    :raises StorageError: one of them has become another since.
    """
    digests: Mapping[tuple[str, str], str] = {
        (one.bucket, one.setting): one.change_digest for one in approved.changes
    }
    changes = []
    for one in proposal.changes:
        digest = digests.get((one.bucket, one.setting))
        if digest is None:
            continue
        if digest != one.digest():
            raise StorageError(
                f"{one.setting} of s3://{one.bucket} is no longer what was shown when its repair "
                "was approved",
                hint="start the check again with repair, and approve what it shows then",
            )
        changes.append(one)
    return changes


def readable(checked: Checked) -> str:
    """The proposal for the one who approves it, in Markdown."""
    drift = [line for line in checked.lines if line.verdict == "drift"]
    shown = [f"- {line.words}" for line in drift]
    changes = [f"```\n{_cut(change.words)}\n```" for change in checked.proposal.changes]
    left = [f"- {words}" for words in checked.proposal.left]
    parts = ["**Drift**", "\n".join(shown), "**What would be set**", "\n".join(changes)]
    if left:
        parts += ["**What stays as it is**", "\n".join(left)]
    return "\n\n".join(parts)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} … (whole in the log of the check)"
