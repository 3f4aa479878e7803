"""The form of a recovery of documents, as Airflow shows it.

It is read by `ledgerkeep.documents.recovery.form`, which says clearly what is wrong. Everything but
the reason may stay empty, so that the form can be sent; what is missing then is told by the plan.
"""

from __future__ import annotations

from airflow.sdk import Param

from ledgerkeep.operators.dags import optional_moment, optional_text, reason_param


def document_recovery_form() -> dict[str, Param]:
    """The form."""
    return {
        "goal": Param(
            "moment",
            type="string",
            enum=["moment", "undelete", "version", "manifest"],
            values_display={
                "moment": "to what was there at a moment",
                "undelete": "undo deletions, and nothing else",
                "version": "one document to one of its versions",
                "manifest": "to the versions that the rows of a restored database need",
            },
            title="Back",
            description="Fill in the fields of this goal, and leave those of the others empty.",
        ),
        "moment": optional_moment(
            "Moment", "To go back to a moment: right before the damage began."
        ),
        "deleted_from": optional_moment(
            "Deleted from", "To undo deletions: only those from then on are undone."
        ),
        "deleted_to": optional_moment(
            "Deleted until", "To undo deletions: what was deleted later stays deleted."
        ),
        "version_id": optional_text(
            maxLength=1024,
            title="Version id",
            description="For one document to one of its versions; list-object-versions shows it.",
        ),
        "moment_check": optional_text(
            maxLength=1024,
            title="Check of the moment",
            description="For the rows of a restored database: what the task check_documents of its "
            "recovery returned.",
            examples=["production/documents/moments/20260301T120000000000Z/moment.json"],
        ),
        "keys": Param(
            None,
            type=["null", "array"],
            items={"type": "string"},
            title="Documents",
            description="Their keys in full, one to a line, without the bucket. A key is never "
            "taken for a prefix. Or leave it empty and give a prefix.",
        ),
        "prefix": optional_text(
            maxLength=1024,
            title="Prefix",
            description="All documents whose key begins with it, such as agreements/2026/05/; "
            "* means all there are.",
            examples=["loan-agreements/2026/05/"],
        ),
        "incident_ended_at": optional_moment(
            "Damage ended",
            "What was written later is somebody's work and is left alone. Empty: everything "
            "up to now is damage.",
        ),
        "on_conflict": Param(
            "leave",
            type="string",
            enum=["leave", "overwrite"],
            values_display={
                "leave": "leave it alone, and tell me",
                "overwrite": "go over it; it stays as an older version",
            },
            title="What was written since",
        ),
        "remove_later_keys": Param(
            False,
            type="boolean",
            title="Remove what came later",
            description="To go back to a moment: documents that did not exist then get a delete "
            "marker. Off: they are left.",
        ),
        "source": Param(
            "primary",
            type="string",
            enum=["primary", "replica"],
            values_display={
                "primary": "the bucket's own versions",
                "replica": "the replica in the second region",
            },
            title="Take the versions from",
        ),
        "scenario": Param(
            "accidental_deletion",
            type="string",
            enum=["accidental_deletion", "security_incident", "region_failure"],
            values_display={
                "accidental_deletion": "somebody deleted or changed documents by mistake",
                "security_incident": "an intrusion, or malicious changes",
                "region_failure": "the region, or the bucket in it, was lost",
            },
            title="What happened",
            description="Decides which recovery objectives it is measured against.",
        ),
        "reason": reason_param(),
    }
