"""Infrastructure's git repositories: every ref, the objects behind them, and what protects them.

`git` runs the program, `hosts` knows what only a repository's host can tell or set (`github` speaks
its API), `findings` says what is not as it must be, and `source` is the source made of them.
"""

from ledgerkeep.configuration.sources.repositories.source import CodeRepositories, open_source

__all__ = ["CodeRepositories", "open_source"]
