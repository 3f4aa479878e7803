"""An Airflow of the test run's own, without database: import this before anything of Airflow.

Airflow reads its configuration when it is first imported, so the environment is set here, at
import. Whatever the caller's Airflow is, its connections and its database are not touched.
"""

import atexit
import os
import shutil
import tempfile

from tests.conftest import ROOT

HOME = tempfile.mkdtemp(prefix="lk-airflow-", dir="/var/tmp")
atexit.register(shutil.rmtree, HOME, ignore_errors=True)

for name in [name for name in os.environ if name.startswith("AIRFLOW_")]:
    del os.environ[name]
os.environ |= {
    "AIRFLOW_HOME": HOME,
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/none.db",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
    "AIRFLOW__API_AUTH__JWT_SECRET": "x" * 64,
    "SCARF_ANALYTICS": "false",
}
