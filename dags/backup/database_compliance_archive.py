"""# Compliance archive

Copies the newest proven full backup into the vault: a bucket of another account, in cold storage,
where Object Lock keeps it for years and nobody can remove it, not even us. Every byte is hashed on
its way, and what the vault says about each object is read back before the archive is recorded.
With it come the lists for offline media (`SHA256SUMS`, `OFFLINE.txt`), in the vault and with the
reports.

A run that was interrupted is gone on with. A year is archived once, unless a recovery point is
named.
"""

from airflow.sdk import DAG

from ledgerkeep.operators.archive import ComplianceArchiveOperator
from ledgerkeep.operators.dags import dag_arguments, given, optional_text
from ledgerkeep.operators.verdict import VerdictOperator
from ledgerkeep.policy.load import load_policies

for policy in load_policies():
    archive = policy.database.compliance_archive
    if archive is None:
        continue
    with DAG(
        **dag_arguments(
            policy,
            "database_compliance_archive",
            component="database",
            kind="backup",
            schedule=archive.schedule,
            doc=__doc__,
        ),
        params={
            "recovery_point": optional_text(
                pattern=r"^[A-Za-z0-9-]{0,64}$",
                title="Recovery point",
                description="Id of the base backup to archive, also when this year has been "
                "archived. Empty: the newest proven one, once a year.",
            )
        },
    ):
        copy = ComplianceArchiveOperator(
            task_id="copy",
            environment=policy.environment,
            recovery_point=given("recovery_point"),
        )
        verdict = VerdictOperator(task_id="verdict", environment=policy.environment, kind="backup")
        copy >> verdict
