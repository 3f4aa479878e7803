"""The four things a recovery must show, stated one by one in its evidence.

Whoever reads the record asks: are the data whole, does the application work on them, is it fast
enough, and was it in time? Each is answered, also by "not shown": a run that ended early must not
look like one that had nothing to say. A criterion that the policy does not ask for is neither met
nor missed.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from ledgerkeep.model import Record

CriterionName = Literal[
    "data integrity",
    "application works",
    "performance within range",
    "recovery within RTO and RPO",
]
INTEGRITY: CriterionName = "data integrity"
APPLICATION: CriterionName = "application works"
PERFORMANCE: CriterionName = "performance within range"
OBJECTIVES: CriterionName = "recovery within RTO and RPO"
ALL: tuple[CriterionName, ...] = (INTEGRITY, APPLICATION, PERFORMANCE, OBJECTIVES)
NOT_SHOWN = "not shown"


class Criterion(Record):
    """One of the four, as a run found it."""

    name: CriterionName
    met: bool | None
    """None: there was nothing to hold it against."""
    words: str


def all_four(stated: Sequence[Criterion], objectives: Criterion | None) -> list[Criterion]:
    """The four in their order, what no task stated as not shown; the last word counts."""
    found = {criterion.name: criterion for criterion in stated}
    if objectives is not None:
        found[OBJECTIVES] = objectives
    return [found.get(name, Criterion(name=name, met=False, words=NOT_SHOWN)) for name in ALL]


def within_objectives(
    measurements: Mapping[str, float], rto_seconds: float, rpo_seconds: float | None
) -> Criterion | None:
    """Whether a recovery was in time; None when it was not measured.

    :param rpo_seconds: None: the policy says that it depends on the incident.
    """
    took, lost = measurements.get("rto_seconds"), measurements.get("rpo_seconds")
    if took is None:
        return None
    met = took <= rto_seconds
    words = f"recovered in {took:.0f} s of {rto_seconds:.0f} s allowed"
    if lost is None:
        return Criterion(name=OBJECTIVES, met=False, words=f"{words}; the loss was not measured")
    if rpo_seconds is None:
        words += f"; it ends {lost:.0f} s before the run began, to which the policy sets no limit"
    else:
        met = met and lost <= rpo_seconds
        words += f"; {lost:.0f} s of data lost of {rpo_seconds:.0f} s allowed"
    return Criterion(name=OBJECTIVES, met=met, words=words)
