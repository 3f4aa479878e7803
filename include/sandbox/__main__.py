"""`python -m include.sandbox`: the sandbox from the command line; the Makefile calls it."""

import argparse
import signal
import sys

from include.sandbox import demo, demo_configuration, demo_database, demo_documents, load, sandbox
from include.sandbox.processes import ServerFailed
from ledgerkeep.errors import LedgerkeepError


def main() -> int:
    """Run one command; the exit status is 0 when it did what it says."""
    arguments = _parser().parse_args()
    # `kill` ends a command as Ctrl-C does: what it started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return arguments.run(arguments) or 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except ServerFailed as problem:
        print(f"\n{problem}; the end of {problem.log}:\n{problem.end_of_log}", file=sys.stderr)
        print("Hint: read the log; a second `make up` starts from a clean slate", file=sys.stderr)
    except LedgerkeepError as problem:
        print(problem, file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.sandbox", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    ours = sandbox.default_sandbox()

    up = commands.add_parser("up", help="start the sandbox")
    _add_size(up)
    up.set_defaults(run=lambda given: sandbox.up(ours, size_mb=given.size_mb) and None)
    down = commands.add_parser("down", help="stop it; its data stay")
    down.set_defaults(run=lambda given: sandbox.down(ours))
    clean = commands.add_parser("clean", help="stop it and remove its data")
    clean.set_defaults(run=lambda given: sandbox.clean(ours))
    status = commands.add_parser("status", help="say what runs; exit status 1 when not all does")
    status.set_defaults(run=lambda given: 0 if sandbox.status(ours) else 1)

    turn = commands.add_parser("replicate", help="which way documents are replicated")
    turn.add_argument("--backwards", action="store_true", help="from the replica to the primary")
    turn.set_defaults(run=lambda given: sandbox.replicate(ours, backwards=given.backwards))

    write = commands.add_parser("load", help="write to the loan database, keeping it balanced")
    load.add_options(write)
    write.set_defaults(run=lambda given: load.run(given))

    stories = {
        "demo": (demo.run, "run the main job through the scheduler"),
        "demo-database": (demo_database.run, "run the whole database family"),
        "demo-documents": (demo_documents.run, "run the documents family"),
        "demo-configuration": (demo_configuration.run, "run the configuration family"),
    }
    for name, (story, words) in stories.items():
        show = commands.add_parser(name, help=words)
        _add_size(show)
        show.add_argument("--keep", action="store_true", help="leave the sandbox running")
        show.set_defaults(
            run=lambda given, story=story: story(ours, size_mb=given.size_mb, keep=given.keep)
        )
    return parser


def _add_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--size-mb",
        type=int,
        default=sandbox.DEFAULT_SIZE_MB,
        help="size of the loan database when it has to be made (default: %(default)s)",
    )


if __name__ == "__main__":
    sys.exit(main())
