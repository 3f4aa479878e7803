"""The forms of the recovery DAGs, as Airflow shows them.

A form is read by `ledgerkeep.recovery.request`, which says clearly what is wrong; what JSON schema
can refuse, Airflow refuses before there is a run. What everybody has to look at is in no section:
Airflow opens that part of the form by itself, and shows sections closed.
"""

from __future__ import annotations

from airflow.sdk import Param

from ledgerkeep.operators.dags import NAIVE_MOMENT, optional_text, reason_param
from ledgerkeep.recovery.form import DESTINATION, LATEST_PROVEN

_ID = r"^[A-Za-z0-9-]*$"


def point_in_time_form() -> dict[str, Param]:
    """The form of a point-in-time recovery."""
    return {
        "target_kind": Param(
            "time",
            type="string",
            enum=["time", "lsn", "xid", "name", "latest"],
            values_display={
                "time": "a moment",
                "lsn": "a WAL position (LSN)",
                "xid": "a transaction id",
                "name": "a named restore point",
                "latest": "the latest that is stored",
            },
            title="Recover to",
            description="What kind of target it is.",
        ),
        "target_value": optional_text(
            title="Target",
            maxLength=100,
            examples=[
                "2026-03-01T14:30:00+00:00",
                "2026-03-01 15:30:00+01:00",
                "16/B374D848",
                "4711",
                "before_release_42",
            ],
            description_md="""\
| kind | write it as |
|---|---|
| a moment | `2026-03-01T14:30:00+00:00`, **with its offset from UTC** |
| a WAL position | `16/B374D848`, as `pg_current_wal_lsn()` gives it |
| a transaction id | `4711`, as `pg_current_xact_id()` gives it |
| a named restore point | its name |
| the latest | nothing |""",
            **{"not": NAIVE_MOMENT},
        ),
        "stop_at": Param(
            "after",
            type="string",
            enum=["after", "before"],
            values_display={
                "after": "right after it: what happened exactly there is in the copy",
                "before": "right before it: what happened exactly there is not",
            },
            title="Stop",
            description="For the transaction that did the damage, choose: right before it.",
        ),
        **_common(),
        "documents": Param(
            "none",
            type="string",
            enum=["none", "check", "plan"],
            values_display={
                "none": "nothing",
                "check": "look whether every document row of the copy has its object as of then",
                "plan": "the same, and say how the documents are recovered to the same moment",
            },
            title="Documents",
            description="The documents themselves are recovered by document_recovery.",
        ),
        "backup": optional_text(
            pattern=_ID,
            title="Base backup",
            description="Id of the backup to start from. Empty: the newest that fits, which is "
            "the quickest.",
            examples=["20260301T010000Z-F-1a2b3c4d"],
            section="Rarely needed",
        ),
        "timeline": optional_text(
            pattern=r"^\d*$",
            title="Timeline",
            description="After a failover: the number of the timeline to follow. Empty: the "
            "newest on which the target lies.",
            section="Rarely needed",
        ),
    }


def full_restore_form() -> dict[str, Param]:
    """The form of a full restore."""
    return {
        "recovery_point": Param(
            LATEST_PROVEN,
            type="string",
            pattern=r"^(latest proven|[A-Za-z0-9-]+)$",
            title="Recovery point",
            description="Id of a base backup, or `latest proven`: the newest that a restore test "
            "has shown to be identical to the source.",
            examples=["latest proven", "20260301T010000Z-F-1a2b3c4d"],
        ),
        "through": Param(
            "latest",
            type="string",
            enum=["latest", "backup"],
            values_display={
                "latest": "everything that is stored after it: the least is lost",
                "backup": "nothing more: exactly the state of the backup",
            },
            title="And then",
        ),
        **_common(),
    }


def _common() -> dict[str, Param]:
    return {
        "scenario": Param(
            "database_failure",
            type="string",
            enum=["database_failure", "accidental_deletion", "security_incident"],
            values_display={
                "database_failure": "the database is lost or damaged",
                "accidental_deletion": "somebody deleted or changed data by mistake",
                "security_incident": "an intrusion, or malicious changes",
            },
            title="What happened",
            description="Decides which recovery objectives it is measured against.",
        ),
        "reason": reason_param(),
        "destination": optional_text(
            pattern=DESTINATION,
            maxLength=200,
            title="Destination",
            description="Directory on the recovery worker that is new or empty. Empty field: one "
            "below the worker's rooms, named after this run.",
            examples=["/srv/recovery/loans-1"],
        ),
        "afterwards": Param(
            "stopped",
            type="string",
            enum=["stopped", "running"],
            values_display={
                "stopped": "leave it stopped: I start it myself with the command of the runbook",
                "running": "start it, on its own Unix socket only: nobody else can reach it",
            },
            title="When it is restored and checked",
            description="Neither changes anything for the application: switching it over is "
            "always a person's step.",
        ),
    }
