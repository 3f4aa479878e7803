"""All shards of a comparison summed up: what a person reads, approves, and hands on.

What is approved is the set of differences as it was written down: the digest is of the objects
with all of them. What is missing is also listed the way S3 Batch Operations takes it, for replicas
that no worker should copy.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from ledgerkeep.documents.replica.check import Checked
from ledgerkeep.documents.replica.differences import (
    FAULTS,
    KINDS,
    WORDS,
    Difference,
    Kind,
    Tally,
)
from ledgerkeep.progress import format_bytes
from ledgerkeep.storage.port import ObjectStore, StoredObject

_SEVERE: tuple[Kind, ...] = ("missing", "different")


@dataclass
class Summary:
    """What all shards together found."""

    tally: Tally = field(default_factory=Tally)
    lines: list[StoredObject] = field(default_factory=list)
    """The objects with the differences."""

    @classmethod
    def of(cls, shards: Iterable[Checked]) -> "Summary":
        """Sum shards up."""
        summary = cls()
        for checked in shards:
            summary.tally.add(checked.tally)
            if checked.lines is not None:
                summary.lines.append(checked.lines)
        return summary

    def digest(self) -> str:
        """SHA-256 that stands for exactly these differences."""
        return hashlib.sha256("".join(one.sha256 for one in self.lines).encode()).hexdigest()

    def differences(self, store: ObjectStore) -> Iterator[Difference]:
        """All of them, read back and held against their hash.

        :raises ObjectCorrupt: after the last of an object whose hash is another; the lines of it
            were given already, and nothing may be believed that was made of them.
        :raises StorageError:
        """
        for stored in self.lines:
            yield from map(Difference.from_line, _lines(store.read(stored)))

    def findings(self) -> list[dict[str, Any]]:
        """One per kind of difference, with examples."""
        return [
            {"what": self._sentence(kind), "severity": _severity(kind)}
            for kind in KINDS
            if self.tally.counts.get(kind)
        ]

    def measurements(self) -> dict[str, float]:
        """Figures for the evidence."""
        tally = self.tally
        return {
            "versions_compared": tally.source_versions,
            "replica_versions": tally.replica_versions,
            "versions_same": tally.same,
            "versions_on_their_way": tally.young,
            "versions_expired": tally.expired,
            "missing_bytes": tally.missing_bytes,
            "keys_looked_at_again": tally.looked_again,
            "keys_settled": tally.settled,
            **{f"versions_{kind}": tally.counts.get(kind, 0) for kind in KINDS},
        }

    def how(self) -> str:
        """How contents were compared, in words."""
        told = sorted(self.tally.how.items(), key=lambda item: (-item[1], item[0]))
        return ", ".join(f"{name}: {count:,}" for name, count in told) or "nothing to compare"

    def readable(self, source: str, replica: str) -> str:
        """What is proposed to be repaired, in Markdown."""
        tally = self.tally
        rows = [
            f"| {WORDS[kind]} | {tally.counts[kind]:,} |" for kind in KINDS if kind in tally.counts
        ]
        examples = [f"- `{text}`" for text in tally.examples]
        return "\n".join(
            [
                f"{tally.source_versions:,} versions of `{source}` were compared with `{replica}`.",
                "",
                "| found | how many |",
                "|---|---|",
                *rows,
                "",
                "For example:",
                "",
                *examples,
                "",
                f"The repair appends what is missing ({format_bytes(tally.missing_bytes)}), delete "
                "markers too, and what has to follow it so that the newest version stays the "
                "newest; then it compares those keys again. It removes nothing.",
            ]
        )

    def _sentence(self, kind: Kind) -> str:
        named = [
            text.removeprefix(f"{kind}: ")
            for text in self.tally.examples
            if text.startswith(f"{kind}: ")
        ]
        count = self.tally.counts[kind]
        return f"{count:,} {WORDS[kind]}: {', '.join(named)}{' …' if count > len(named) else ''}"


def batch_manifest(bucket: str, differences: Iterable[Difference]) -> Iterator[bytes]:
    """Lines of a manifest of what is missing, for a job of S3 Batch Operations.

    Bucket, key and version id; the key URL-encoded; no header. Delete markers are no objects and
    cannot be named in it. (AWS: S3 user guide, Specifying a manifest.)
    """
    for one in differences:
        if one.kind == "missing":
            yield f"{bucket},{quote(one.key, safe='/')},{one.version_id}\r\n".encode()


def write_manifest(
    store: ObjectStore, key: str, bucket: str, differences: Iterable[Difference]
) -> StoredObject:
    """Store the manifest, in constant memory.

    :raises StorageError:
    """
    with store.writer(key, content_type="text/csv") as writer:
        for line in batch_manifest(bucket, differences):
            writer.write(line)
        return writer.commit()


def _lines(chunks: Iterable[memoryview]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + bytes(chunk)).split(b"\n")
        yield from whole


def _severity(kind: Kind) -> str:
    if kind in _SEVERE:
        return "critical"
    return "warning" if kind in FAULTS else "info"


def faults_left(tally: Tally, repaired: dict[str, Any] | None) -> int:
    """Differences that are left, after the repair if there was one.

    :param repaired: `Brought` as JSON; None, or empty: nothing was repaired.
    """
    if not repaired:
        return tally.faults
    return int(repaired["failed"] + repaired["diverged"]) + tally.counts.get("unclear", 0)
