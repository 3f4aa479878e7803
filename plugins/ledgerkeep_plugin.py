"""Registers Ledgerkeep with Airflow; the only file of ours that Airflow's plugin loader sees.

`.airflowignore` keeps the loader away from the package itself, which it would otherwise import
file by file under bare names. Every task process loads this file too, so it must cost nothing:
the web app is built when the first request comes.
"""

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin


class _AppOnDemand:
    """An ASGI application that becomes the console at its first request."""

    def __init__(self) -> None:
        self._app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._app is None:
            from ledgerkeep.console.app import create_app

            self._app = create_app()
        await self._app(scope, receive, send)


class LedgerkeepPlugin(AirflowPlugin):
    """The pages of Ledgerkeep in the Airflow UI."""

    name = "ledgerkeep"
    fastapi_apps: ClassVar[list[dict[str, Any]]] = [
        {"app": _AppOnDemand(), "url_prefix": "/ledgerkeep", "name": "Ledgerkeep"}
    ]
    external_views: ClassVar[list[dict[str, Any]]] = [
        {
            "name": "Ledgerkeep",
            "href": "/ledgerkeep/",
            "destination": "nav",
            "category": "browse",
            "url_route": "ledgerkeep",
        }
    ]
