"""Airflow's own run history, read over its REST API, for the report to be held against.

Tasks have no access to Airflow's database, and nothing in a task's context lists runs by time, so
the report asks the API with an account that may only view. The evidence chain is the source of
truth; this history is what it is compared with, because states in Airflow can be changed by hand.
"""

from __future__ import annotations

import json
import urllib.request
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

if TYPE_CHECKING:
    from ledgerkeep.evidence.history import AirflowRun

_PAGE = 100


class HistoryUnavailable(Exception):
    """Airflow's API could not be asked."""


def airflow_runs(
    connection_id: str, *, environment: str, since: datetime, until: datetime
) -> list[AirflowRun]:
    """Runs of the environment's DAGs that were due in [since, until), oldest first.

    :param connection_id: HTTP connection to the API server with a viewer's login and password.
    :raises HistoryUnavailable: no such connection, or the API does not answer, or refuses, or
        says what cannot be understood.
    """
    from airflow_client.client.exceptions import OpenApiException
    from urllib3.exceptions import HTTPError

    try:
        return _read(connection_id, environment, since, until)
    except (AirflowNotFoundException, OpenApiException, HTTPError, OSError, ValueError) as problem:
        # ValueError: what answers is not Airflow, or one whose words this client does not know.
        words = " ".join(str(problem).split())[:300]
        raise HistoryUnavailable(
            f"Airflow's history could not be read over the connection {connection_id}: {words}"
        ) from problem


def _read(
    connection_id: str, environment: str, since: datetime, until: datetime
) -> list[AirflowRun]:
    from airflow_client.client import ApiClient, Configuration
    from airflow_client.client.api.dag_run_api import DagRunApi

    found = BaseHook.get_connection(connection_id)
    port = f":{found.port}" if found.port else ""
    host = f"{found.schema or 'http'}://{found.host}{port}"
    token = _token(host, found.login or "", found.password or "")
    runs: list[AirflowRun] = []
    with ApiClient(Configuration(host=host, access_token=token)) as client:
        api = DagRunApi(client)
        while True:
            page = api.get_dag_runs(
                "~",
                limit=_PAGE,
                offset=len(runs),
                order_by=["run_after"],
                run_after_gte=since,
                run_after_lt=until,
                dag_id_prefix_pattern=f"{environment}_",
            )
            runs += [_row(run) for run in page.dag_runs]
            if len(page.dag_runs) < _PAGE:
                return runs


def _row(run: Any) -> AirflowRun:
    from ledgerkeep.evidence.history import AirflowRun

    return AirflowRun(
        dag_id=run.dag_id,
        run_id=run.dag_run_id,
        state=run.state.value,
        run_type=run.run_type.value,
        start_date=run.start_date,
        end_date=run.end_date,
        triggering_user_name=run.triggering_user_name,
    )


def _token(host: str, user: str, password: str) -> str:
    body = json.dumps({"username": user, "password": password}).encode()
    request = urllib.request.Request(  # noqa: S310 - the host is the operator's own connection
        f"{host}/auth/token", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        said = json.loads(answer.read())
    if not isinstance(said, dict) or "access_token" not in said:
        raise ValueError(f"what answers at {host} gives no token")
    return str(said["access_token"])
