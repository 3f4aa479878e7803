"""Two fingerprints held against each other, table by table: pure, and the same for every copy.

What the fingerprint of the source left out is not compared, because nothing is known of it.
Sequences are not transactional: the copy may be ahead (values are logged in advance), and must not
be behind, for then it would give a number out twice.
"""

from typing import Literal

from ledgerkeep.catalog.models import DatabaseFingerprint, SequencePosition, TableFingerprint
from ledgerkeep.errors import RecoveryError
from ledgerkeep.model import Record


class Difference(Record):
    """One way in which a copy is not what the source was."""

    kind: Literal["missing", "extra", "rows", "content", "structure", "sequence"]
    database: str
    name: str
    """Table or sequence with its schema; empty for the structure as a whole."""
    expected: str = ""
    found: str = ""

    def describe(self) -> str:
        """The difference in words."""
        what = f"{self.database}: table {self.name}"
        match self.kind:
            case "missing":
                return f"{what} is missing ({self.expected} rows){self.found}"
            case "extra":
                return f"{what} is there and should not be ({self.found} rows)"
            case "rows":
                return f"{what} has {self.found} rows instead of {self.expected}"
            case "content":
                return f"{what} has other content in its {self.expected} rows"
            case "structure":
                return f"{self.database}: columns, constraints, indexes, functions or views differ"
            case "sequence":
                return (
                    f"{self.database}: sequence {self.name} is behind: "
                    f"{self.found} instead of {self.expected} or later"
                )


def compare(expected: DatabaseFingerprint, found: DatabaseFingerprint) -> list[Difference]:
    """In what the copy differs from the source, in the order of the tables' names.

    :raises RecoveryError: the two were not made in the same way.
    """
    if expected.method != found.method:
        raise RecoveryError(
            f"the fingerprint of {expected.database} was made by the method "
            f"{expected.method.partition(':')[0]}, and this Ledgerkeep uses "
            f"{found.method.partition(':')[0]}",
            hint="prove the copy with the version of Ledgerkeep that took the fingerprint, "
            "or take a new one",
        )
    differences = _tables(expected, found)
    if expected.structure_hash != found.structure_hash:
        differences.append(Difference(kind="structure", database=expected.database, name=""))
    return differences + _sequences(expected, found)


def _tables(expected: DatabaseFingerprint, found: DatabaseFingerprint) -> list[Difference]:
    wanted = {table_name(table): table for table in expected.tables}
    there = {table_name(table): table for table in found.tables}
    differences = [
        _one_table(expected.database, wanted[name], there.get(name), found.left_out.get(name))
        for name in sorted(wanted)
    ]
    differences += [
        Difference(kind="extra", database=expected.database, name=name, found=str(there[name].rows))
        for name in sorted(there.keys() - wanted.keys() - expected.left_out.keys())
    ]
    return [difference for difference in differences if difference is not None]


def _one_table(
    database: str, wanted: TableFingerprint, there: TableFingerprint | None, reason: str | None
) -> Difference | None:
    name = table_name(wanted)
    if there is None:
        return Difference(
            kind="missing",
            database=database,
            name=name,
            expected=str(wanted.rows),
            found=f": {reason}" if reason else "",
        )
    if wanted.sampled_percent != there.sampled_percent:
        raise RecoveryError(
            f"table {name} of {database} was sampled differently in the two fingerprints",
            hint="read the copy with the sample that the source's fingerprint names",
        )
    if wanted.rows != there.rows:
        kind: Literal["rows", "content"] = "rows"
    elif wanted.content_hash != there.content_hash:
        kind = "content"
    else:
        return None
    return Difference(
        kind=kind,
        database=database,
        name=name,
        expected=str(wanted.rows),
        found=str(there.rows),
    )


def _sequences(expected: DatabaseFingerprint, found: DatabaseFingerprint) -> list[Difference]:
    there = {(one.schema_name, one.name): one for one in found.sequences}
    return [
        Difference(
            kind="sequence",
            database=expected.database,
            name=f"{wanted.schema_name}.{wanted.name}",
            expected=str(wanted.last_value),
            found=_position(there.get((wanted.schema_name, wanted.name))),
        )
        for wanted in expected.sequences
        if wanted.last_value is not None
        and _is_behind(there.get((wanted.schema_name, wanted.name)), wanted)
    ]


def _is_behind(there: SequencePosition | None, wanted: SequencePosition) -> bool:
    if there is None or there.last_value is None or wanted.last_value is None:
        return wanted.last_value is not None
    direction = 1 if wanted.increment > 0 else -1
    return (there.last_value - wanted.last_value) * direction < 0


def _position(there: SequencePosition | None) -> str:
    if there is None:
        return "missing"
    return "unused" if there.last_value is None else str(there.last_value)


def table_name(table: TableFingerprint) -> str:
    """`schema.name`."""
    return f"{table.schema_name}.{table.name}"
