"""What tasks and DAG files need of Ledgerkeep, imported once in the process that forks for them.

Airflow's scheduler (with the LocalExecutor) and its DAG processor fork for every task and for every
file. A fork that has to import us, build the policies' models and read what AWS says of S3 spends
a third of a second on it, at least, before anything happens. So these two do it when they start.

All of us or nothing: a module that was imported before an upgrade beside one that was imported
after it is a program that nobody has tested. Hence every module is imported here, and after an
upgrade both processes are restarted, as Airflow asks for plugins anyway. The console and the
command line stay out: they are other processes' business.
"""

import pkgutil
from importlib import import_module

import ledgerkeep

_ELSEWHERE = ("ledgerkeep.console.", "ledgerkeep.cli.")
_DESCRIBED = ("s3", "cloudwatch")
"""What nearly every task is a client of: where its bucket is, and where its metrics go."""


def preload() -> None:
    """Import Ledgerkeep; starts no thread and opens no connection."""
    from ledgerkeep.storage.session import read_ahead

    for module in pkgutil.walk_packages(ledgerkeep.__path__, f"{ledgerkeep.__name__}."):
        if not module.name.startswith(_ELSEWHERE):
            import_module(module.name)
    read_ahead(*_DESCRIBED)
