"""What tasks and DAG files need of Ledgerkeep, imported once in the process that forks for them.

Airflow's scheduler (with the LocalExecutor) and its DAG processor fork for every task and for every
file. A fork that has to import us, build the policies' models and read what AWS says of S3 spends
most of a second on it before anything happens. So these two do it when they start.

All of us or nothing: a module that was imported before an upgrade beside one that was imported
after it is a program that nobody has tested. Hence every module is imported here, and after an
upgrade both processes are restarted, as Airflow asks for plugins anyway. The console and the
command line stay out: they are other processes' business.
"""

import pkgutil
from importlib import import_module

import ledgerkeep

_ELSEWHERE = {"ledgerkeep.console", "ledgerkeep.cli"}
_DESCRIBED = ("s3", "cloudwatch")
"""What nearly every task is a client of: where its bucket is, and where its metrics go."""


def preload() -> None:
    """Import Ledgerkeep; starts no thread and opens no connection."""
    from ledgerkeep.storage.session import read_ahead

    for name in _modules(ledgerkeep.__name__, list(ledgerkeep.__path__)):
        import_module(name)
    read_ahead(*_DESCRIBED)


def _modules(package: str, paths: list[str]) -> list[str]:
    found = []
    for module in pkgutil.iter_modules(paths, f"{package}."):
        if module.name in _ELSEWHERE:
            continue
        found.append(module.name)
        if module.ispkg:
            directory = module.name.rpartition(".")[2]
            found += _modules(module.name, [f"{path}/{directory}" for path in paths])
    return found
