"""Airflow's own run history, as the report compares it with the evidence.

States in Airflow can be changed by hand and runs deleted, so this is never the source of truth:
it is what the evidence chain is held against. Nothing here knows Airflow; a hook fills the rows.
"""

from ledgerkeep.model import Record, UtcDatetime


class AirflowRun(Record):
    """One row of the run history."""

    dag_id: str
    run_id: str
    state: str
    run_type: str
    start_date: UtcDatetime | None
    end_date: UtcDatetime | None
    triggering_user_name: str | None = None

    @property
    def run(self) -> str:
        """The run as evidence and proofs name it: `dag_id/run_id`."""
        return f"{self.dag_id}/{self.run_id}"
