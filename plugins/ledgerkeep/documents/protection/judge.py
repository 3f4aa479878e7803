"""What versions, their costs and the replica's lag come to, in sentences with a severity.

A lag beyond the policy's is critical: a region that is lost now takes more with it than may be
lost. Costs never are; they are told so that somebody may decide.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from ledgerkeep.documents.protection.costs import Scenario
from ledgerkeep.documents.protection.lag import Lag
from ledgerkeep.documents.protection.lines import Severity
from ledgerkeep.documents.protection.metrics import ReplicationFigures
from ledgerkeep.documents.protection.versions import Count, Tally
from ledgerkeep.policy.documents import Documents
from ledgerkeep.policy.schedule import longest_interval
from ledgerkeep.policy.values import format_duration
from ledgerkeep.progress import format_bytes

Said = tuple[Severity, str]

_NAMED = 5
"""Versions that are named one by one."""
_CENT = 0.005


def judge_tally(bucket: str, tally: Tally) -> Iterator[Said]:
    """How many versions there are, and what they cost."""
    for kind, name, count in tally.counts:
        yield "info", f"s3://{bucket}: {_counted(count, kind)} in {name}{_priced(count)}"
    if tally.delete_markers:
        yield "info", f"s3://{bucket}: {tally.delete_markers} delete markers"
    if tally.unpriced and tally.usd:
        names = ", ".join(sorted(tally.unpriced))
        yield (
            "warning",
            f"s3://{bucket}: the policy has no price of {names}, whose versions are in no cost",
        )
    if tally.present is not None:
        for scenario in tally.alternatives:
            yield "info", f"s3://{bucket}: {compare_costs(tally.present, scenario)}"


def compare_costs(present: Scenario, other: Scenario) -> str:
    """What another lifecycle would save in a month."""
    saved = present.usd - other.usd
    how = f"{saved:.2f} USD a month less" if saved >= 0 else f"{-saved:.2f} USD a month more"
    if abs(saved) < _CENT:
        how = "the same cost"
    return (
        f"{other.words} instead of {present.words}: {how}; moving "
        f"{_of_versions(other.versions_to_move)} there costs {other.at_once_usd:.2f} USD once"
    )


def _counted(count: Count, kind: str) -> str:
    if kind == "counted":
        return f"{format_bytes(count.size)} of versions, current and old,"
    return f"{_of_versions(count.versions, kind)} ({format_bytes(count.size)})"


def _of_versions(count: int, kind: str = "") -> str:
    noun = f"{kind} version".strip()
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _priced(count: Count) -> str:
    return f", {count.usd:.2f} USD a month" if count.usd else ""


def allowed_lag(documents: Documents, lag: timedelta) -> timedelta | None:
    """How far the replica may be behind; None: nobody says when it is copied to.

    :param lag: the policy's alerts.replication_lag.
    """
    if documents.replica is None:
        return None
    if documents.replica.replication == "continuous":
        return lag
    schedule = documents.replication.schedule if documents.replication else None
    return lag + longest_interval(schedule) if schedule else None


def judge_lag(replica: str, lag: Lag, allowed: timedelta | None) -> Iterator[Said]:
    """How far the replica is behind, as the sample told."""
    where = f"s3://{replica}"
    for one in lag.failed[:_NAMED]:
        yield "critical", f"{where}: the replication of {one.words} has failed"
    if len(lag.failed) > _NAMED:
        yield "critical", f"{where}: and {len(lag.failed) - _NAMED} more of the newest have failed"
    if not lag.lacking:
        if not lag.failed:
            yield "info", f"{where} has all of the newest {_of_versions(lag.sample)}"
        return
    limit = "nothing is scheduled" if allowed is None else f"allowed: {format_duration(allowed)}"
    late = allowed is not None and lag.seconds > allowed.total_seconds()
    yield (
        "critical" if late else "info",
        f"{where} lacks {len(lag.lacking)} of the newest {_of_versions(lag.sample)}, the oldest "
        f"for {lag.seconds:.0f} s ({limit}): {lag.lacking[0].words}",
    )


def judge_figures(
    replica: str, figures: ReplicationFigures | None, allowed: timedelta
) -> Iterator[Said]:
    """How far the replica is behind, as CloudWatch tells."""
    where = f"s3://{replica}"
    if figures is None:
        yield "warning", f"{where}: CloudWatch has no replication metrics of the last hour"
        return
    pending = (
        f"{figures.pending_operations or 0:.0f} operations "
        f"({format_bytes(int(figures.pending_bytes or 0))}) are pending"
    )
    latency = figures.latency_seconds or 0.0
    late = latency > allowed.total_seconds()
    yield (
        "critical" if late else "info",
        f"{where}: by CloudWatch {latency:.0f} s behind "
        f"(allowed: {format_duration(allowed)}); {pending}",
    )
    if figures.failed_operations:
        failed = f"{figures.failed_operations:.0f} operations have failed lately"
        yield "warning", f"{where}: {failed}"


def best_saving(present: Scenario | None, others: Sequence[Scenario]) -> float:
    """What the cheapest other lifecycle saves in a month, in USD; 0: none is cheaper."""
    if present is None:
        return 0.0
    return max((present.usd - other.usd for other in others), default=0.0)
