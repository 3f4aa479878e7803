"""What validating a copy found, as records: one outcome per expectation, no row's content.

Counts only: a copy of production holds people's data, and reports outlive the copy.
"""

from collections.abc import Iterable

from ledgerkeep.errors import ValidationFailed
from ledgerkeep.model import Record

_NAMED = 20


class ExpectationOutcome(Record):
    """Whether one expectation holds."""

    table: str
    expectation: str
    """Its type, e.g. `expect_column_values_to_be_unique`."""
    words: str
    """What it says, for people."""
    success: bool
    observed: str
    """The number of rows, or what kept it from being evaluated."""
    unexpected_count: int | None = None
    """Rows that break it; None where it has no such count."""

    def describe(self) -> str:
        """A broken expectation in words."""
        return f"{self.table}: {self.words} ({self.observed})"


class TableStatistics(Record):
    """The expectations of one table in numbers."""

    table: str
    evaluated: int
    successful: int


class ValidationReport(Record):
    """One suite, run on one restored database."""

    suite: str
    database: str
    outcomes: list[ExpectationOutcome]
    seconds: float

    @property
    def broken(self) -> list[ExpectationOutcome]:
        """The expectations that do not hold."""
        return [outcome for outcome in self.outcomes if not outcome.success]

    @property
    def statistics(self) -> list[TableStatistics]:
        """Per table, in the order of the suite."""
        tables = dict.fromkeys(outcome.table for outcome in self.outcomes)
        return [
            TableStatistics(
                table=table,
                evaluated=sum(outcome.table == table for outcome in self.outcomes),
                successful=sum(
                    outcome.table == table and outcome.success for outcome in self.outcomes
                ),
            )
            for table in tables
        ]


def refuse_broken(reports: Iterable[ValidationReport]) -> None:
    """Raise when anything does not hold.

    :raises ValidationFailed: with every broken expectation in words.
    """
    broken = [
        f"{report.database}: {outcome.describe()}"
        for report in reports
        for outcome in report.broken
    ]
    if not broken:
        return
    more = [f"and {len(broken) - _NAMED} more"] if len(broken) > _NAMED else []
    raise ValidationFailed(
        f"the restored copy breaks {len(broken)} expectations: "
        f"{'; '.join([*broken[:_NAMED], *more])}",
        hint="run the same suite on the source: if it breaks them too, the data were wrong before "
        "the backup; if not, do not rely on this backup",
    )
