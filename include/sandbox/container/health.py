"""Exit 0 when Airflow reports one of its components healthy, 1 when it does not.

Asking the API server costs a container's health check some 50 ms. `airflow jobs check` would
import the whole of Airflow each time, on every component, on the cores the backups need. One
component of a kind runs here, so the answer is about this one.
"""

import json
import sys
import urllib.error
import urllib.request


def is_healthy(api: str, component: str) -> bool:
    """Whether the component sent its heartbeat in time.

    :param api: address of the API server.
    :param component: metadatabase, scheduler, triggerer or dag_processor.
    """
    try:
        with urllib.request.urlopen(f"{api}/api/v2/monitor/health", timeout=10) as answer:
            return json.load(answer)[component]["status"] == "healthy"
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


if __name__ == "__main__":
    sys.exit(not is_healthy(*sys.argv[1:]))
