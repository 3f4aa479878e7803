"""`plan` and `restore`: how to get to a target, and going there."""

import os
from argparse import Namespace
from pathlib import Path

from ledgerkeep.catalog.lsn import format_lsn
from ledgerkeep.cli.output import Output
from ledgerkeep.cli.session import Session, choose_cluster, open_session
from ledgerkeep.model import utc_now
from ledgerkeep.progress import format_bytes
from ledgerkeep.recovery.plan import RecoveryPlan, plan_from_catalog
from ledgerkeep.recovery.target import KINDS, RecoveryTarget, parse_target
from ledgerkeep.worker import worker_settings


def show_plan(arguments: Namespace, output: Output) -> int:
    """What a restore would do; touches nothing."""
    plan = _plan(open_session(arguments.environment), arguments)
    if output.machine:
        output.document(plan.model_dump(mode="json"))
    else:
        output.lines(plan.describe())
    return 0


def restore(arguments: Namespace, output: Output) -> int:
    """Restore into an empty directory and leave a database there that can be started."""
    from ledgerkeep.recovery.handover import hand_over
    from ledgerkeep.recovery.hold import while_read
    from ledgerkeep.recovery.restore import restore_cluster
    from ledgerkeep.recovery.room import Room

    session = open_session(arguments.environment)
    plan = _plan(session, arguments)
    if not output.machine:
        output.lines(plan.describe())
    destination, settings = Path(arguments.destination).absolute(), worker_settings()
    # A name of its own: a later restore must not take this one's copy for its leftovers.
    run = f"cli/{utc_now():%Y%m%dT%H%M%S.%fZ}-{os.getpid()}"
    with while_read(session.catalog, plan, run=run):
        result = restore_cluster(
            session.catalog,
            plan,
            destination,
            settings=settings,
            run=run,
            purpose="recovery",
            progress=output.progress(),
        )
    handover = hand_over(session.catalog, Room.open(destination), settings=settings)
    if output.machine:
        output.document(
            {**result.model_dump(mode="json"), "handover": handover.model_dump(mode="json")}
        )
        return 0
    phases = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in result.seconds.items())
    output.lines(
        [
            "",
            f"restored:      {result.room}",
            f"stands at:     {format_lsn(result.replayed_lsn)}"
            + (f", {result.recovered_to:%Y-%m-%d %H:%M:%S}Z" if result.recovered_to else ""),
            f"took:          {result.recovery_seconds:.1f} s ({phases})",
            f"fetched:       {format_bytes(result.bytes_fetched)}, "
            f"{result.segments_replayed} segments replayed",
            *handover.describe(),
        ]
    )
    return 0


def target_of(arguments: Namespace) -> RecoveryTarget:
    """The target that the options name; argparse has seen to it that there is exactly one."""
    given = {
        kind: value
        for kind in KINDS
        if (value := arguments.latest if kind == "latest" else getattr(arguments, f"target_{kind}"))
    }
    kind, value = next(iter(given.items()))
    return parse_target(
        kind,
        "" if kind == "latest" else value,
        inclusive=not arguments.exclusive,
        timeline=arguments.timeline,
    )


def _plan(session: Session, arguments: Namespace) -> RecoveryPlan:
    target = target_of(arguments)
    cluster = choose_cluster(session.catalog, arguments.system_identifier)
    return plan_from_catalog(session.catalog, cluster, target, backup_id=arguments.backup)
