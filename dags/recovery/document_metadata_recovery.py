"""# Recovery of document rows

Takes the rows that describe documents, and the rows that these reference, out of a restored copy of
the database into **production**. Objects are not touched: that is *document_recovery*.

1. **Trigger** it and fill in the form: the moment of the copy (or the directory of a copy that a
   recovery handed over), which documents, and what of the difference is to be applied.
2. **restore** makes the copy in a directory of its own; it is removed again in the end.
3. **plan** holds the copy's rows against production's, touches nothing, and shows what is missing,
   changed, or too much. A row whose key another row has by now is left alone.
4. **approve** waits for a second person under *Required Actions*, where the policy asks for one.
   What is approved is every row that will be written, as it is on both sides.
5. **apply** writes them in one transaction, or none; foreign keys hold, sequences move on. If
   production was changed since, nothing is applied.
6. **try_documents** looks for the object of every document whose row was written, and compares it.

Every task can be cleared and run again: what is applied is not applied twice.
"""

from airflow.sdk import DAG

from ledgerkeep.operators.document_metadata_steps import carry_out, row_recovery_form
from ledgerkeep.operators.recovery_steps import recovery_dag_arguments
from ledgerkeep.policy.load import load_policies

for policy in load_policies():
    documents = policy.documents
    if documents is None or documents.rows is None or documents.recovery is None:
        continue
    with DAG(
        **recovery_dag_arguments(
            policy, "document_metadata_recovery", __doc__, component="documents"
        ),
        params=row_recovery_form(),
    ):
        carry_out(policy, documents.recovery)
