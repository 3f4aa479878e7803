"""The form of a recovery of configuration, as Airflow shows it.

It is read by `ledgerkeep.configuration.recovery.form`, which says clearly what is wrong. Only the
source and the reason have to be filled in; as it stands, the rest means: everything, back to the
newest version, and nothing is deleted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import Param

from ledgerkeep.operators.dags import NAIVE_MOMENT, reason_param

if TYPE_CHECKING:
    from collections.abc import Mapping


def configuration_recovery_form(sources: Mapping[str, str]) -> dict[str, Param]:
    """The form.

    :param sources: name → what a person calls it, of those that the policy names.
    """
    return {
        "source": Param(
            type="string",
            enum=list(sources),
            values_display=dict(sources),
            title="What",
            description="One at a time. Recover what others refer to first: IAM before services, "
            "KMS keys before secrets.",
        ),
        "version": Param(
            "newest",
            type="string",
            minLength=1,
            maxLength=60,
            title="Back to",
            description="newest: the last version that was stored. Or a time, written with its "
            "offset from UTC, such as 2026-03-01T14:30:00+00:00: what was set then. Or a version's "
            "id, as `ledgerkeep configuration list` shows it.",
            examples=["newest", "2026-03-01T14:30:00+00:00"],
            **{"not": NAIVE_MOMENT},
        ),
        "only": Param(
            None,
            type=["null", "array"],
            items={"type": "string"},
            title="Only these",
            description="Names, one to a line; * stands for anything. Empty: everything of it.",
        ),
        "delete_unknown": Param(
            False,
            type="boolean",
            title="Delete what the version does not know",
            description="What was made since is deleted. Off: it is left alone, and named.",
        ),
        "scenario": Param(
            "accidental_deletion",
            type="string",
            enum=["accidental_deletion", "security_incident"],
            values_display={
                "accidental_deletion": "somebody changed or deleted it by mistake",
                "security_incident": "an intrusion, or malicious changes",
            },
            title="What happened",
            description="Decides which recovery objectives it is measured against.",
        ),
        "reason": reason_param(),
    }
