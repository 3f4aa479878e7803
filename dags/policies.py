"""# Policies

Builds no DAG. When a policy file is broken, this file shows as an import error in Airflow that
names the file, the line and the field; the DAGs of the sound environments go on.
"""

# airflow reads a file only if it mentions a dag
from ledgerkeep.policy.load import refuse_broken_policies

refuse_broken_policies()
