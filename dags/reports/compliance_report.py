"""# Compliance report

What ran, what can be restored and how far that has been shown, recovery objectives reached against
target, retention, security controls and exceptions: from the evidence chain, held against Airflow's
own history. Stored as HTML and JSON of the same model, under lock.
"""

from airflow.sdk import DAG

from ledgerkeep.operators.dags import dag_arguments, given, optional_text
from ledgerkeep.operators.report import ComplianceReportOperator
from ledgerkeep.operators.verdict import VerdictOperator
from ledgerkeep.policy.load import load_policies

for policy in load_policies():
    report = policy.reports.compliance
    if report is None:
        continue
    with DAG(
        **dag_arguments(
            policy,
            "compliance_report",
            component="evidence",
            kind="report",
            schedule=report.schedule,
            doc=__doc__,
        ),
        params={
            "month": optional_text(
                pattern=r"^(\d{4}-\d{2})?$",
                title="Month",
                description="Such as 2026-11. Empty: this month so far.",
            )
        },
    ):
        make = ComplianceReportOperator(
            task_id="make",
            environment=policy.environment,
            month=given("month"),
        )
        verdict = VerdictOperator(task_id="verdict", environment=policy.environment, kind="report")
        make >> verdict
