"""The `ledgerkeep` command.

    ledgerkeep list      --environment production
    ledgerkeep show      ID --environment production
    ledgerkeep plan      --latest --environment production
    ledgerkeep verify    ID | --all | --due --environment production
    ledgerkeep restore   --target-time 2026-03-01T14:30:00+00:00 --destination DIR --environment …
    ledgerkeep policy    check [FILE …]
    ledgerkeep evidence  verify --environment production
    ledgerkeep retention plan --environment production
    ledgerkeep retention apply --server postgresql://ledgerkeep@db/postgres --environment …
    ledgerkeep hold      place ID --reason WHY | list | release HOLD --reason WHY --environment …
    ledgerkeep configuration list [--source SOURCE] --environment production
    ledgerkeep configuration show SOURCE [VERSION] --environment production
    ledgerkeep configuration compare SOURCE OLD [NEW] --environment production

Exit codes: 0 done; 1 it failed, or what was looked at is not good (message and hint on standard
error); 2 the command was not understood; 130 interrupted. Each command's module is imported only
when it runs, so that `list` starts quickly.
"""

from __future__ import annotations

import argparse
import atexit
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

import ledgerkeep
from ledgerkeep.cli.output import Output
from ledgerkeep.errors import LedgerkeepError

if TYPE_CHECKING:
    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]

Command = Callable[[argparse.Namespace, Output], int]


def command() -> NoReturn:
    """Run as a program.

    The interpreter is not taken down at the end: a thread of the object store's library that still
    delivers a range would ask for it meanwhile, and that aborts the process (SIGABRT) after all was
    done.
    """
    code = main()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code."""
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as end:  # argparse has said why
        return int(end.code or 0)
    output = Output(machine=arguments.json)
    try:
        code = _command(arguments.does)(arguments, output)
        sys.stdout.flush()
    except LedgerkeepError as problem:
        output.error(problem)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read the output (`| head`) has enough; the interpreter must not flush into it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _command(does: str) -> Command:
    module, _, name = does.partition(":")
    command: Command = getattr(import_module(f"ledgerkeep.cli.{module}"), name)
    return command


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ledgerkeep",
        description="Backups of the loan database: what there is, what it is worth, and back.",
    )
    parser.add_argument(
        "--version", action="version", version=f"ledgerkeep {ledgerkeep.__version__}"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    machine = argparse.ArgumentParser(add_help=False)
    machine.add_argument("--json", action="store_true", help="JSON instead of text")
    one = argparse.ArgumentParser(add_help=False, parents=[machine])
    one.add_argument("--environment", required=True, help="whose policy applies, e.g. production")
    _add_points(commands, one)
    _add_recovery(commands, one)
    _add_upkeep(commands, machine, one)
    _add_retention(commands, one)
    _add_configuration(commands, one)
    return parser


def _add_points(commands: _Commands, one: argparse.ArgumentParser) -> None:
    listing = commands.add_parser("list", parents=[one], help="list the recovery points")
    listing.add_argument("--wal", action="store_true", help="each stretch of WAL too")
    listing.set_defaults(does="points:list_points")

    show = commands.add_parser("show", parents=[one], help="show one recovery point")
    show.add_argument("id")
    show.set_defaults(does="points:show_point")

    verify = commands.add_parser(
        "verify", parents=[one], help="read base backups back and compare every checksum"
    )
    which = verify.add_mutually_exclusive_group(required=True)
    which.add_argument("id", nargs="?")
    which.add_argument("--all", action="store_true", help="every base backup")
    which.add_argument(
        "--due", action="store_true", help="what was not read for long, WAL too, as each day"
    )
    verify.set_defaults(does="points:verify_points")


def _add_recovery(commands: _Commands, one: argparse.ArgumentParser) -> None:
    plan = commands.add_parser("plan", parents=[one], help="show how to recover; touches nothing")
    _add_target(plan)
    plan.set_defaults(does="recover:show_plan")

    restore = commands.add_parser(
        "restore", parents=[one], help="recover into an empty directory of this machine"
    )
    _add_target(restore)
    restore.add_argument(
        "--destination", required=True, metavar="DIR", help="an empty or new directory"
    )
    restore.set_defaults(does="recover:restore")


def _add_target(parser: argparse.ArgumentParser) -> None:
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--target-time", metavar="T", help="ISO 8601 with its offset from UTC")
    target.add_argument("--target-lsn", metavar="LSN", help="a WAL position, e.g. 16/B374D848")
    target.add_argument("--target-xid", metavar="XID", help="a transaction id")
    target.add_argument("--target-name", metavar="NAME", help="a named restore point")
    target.add_argument("--latest", action="store_true", help="as far as the WAL reaches")
    parser.add_argument(
        "--exclusive", action="store_true", help="stop right before the target, not after it"
    )
    parser.add_argument("--timeline", type=int, help="follow this timeline; else the newest")
    parser.add_argument("--backup", metavar="ID", help="start from this base backup")
    parser.add_argument(
        "--system-identifier", metavar="N", help="which cluster, where the bucket holds several"
    )


def _add_upkeep(
    commands: _Commands, machine: argparse.ArgumentParser, one: argparse.ArgumentParser
) -> None:
    policy = commands.add_parser("policy", help="policies").add_subparsers(
        required=True, metavar="ACTION"
    )
    check = policy.add_parser("check", parents=[machine], help="check policy files")
    check.add_argument("files", nargs="*", metavar="FILE", help="all of the worker's by default")
    check.set_defaults(does="upkeep:check_policies")

    evidence = commands.add_parser("evidence", help="evidence of the runs").add_subparsers(
        required=True, metavar="ACTION"
    )
    verify = evidence.add_parser("verify", parents=[one], help="walk the whole evidence chain")
    verify.set_defaults(does="upkeep:verify_evidence")


def _add_retention(commands: _Commands, one: argparse.ArgumentParser) -> None:
    retention = commands.add_parser("retention", help="what stays and what goes").add_subparsers(
        required=True, metavar="ACTION"
    )
    plan = retention.add_parser("plan", parents=[one], help="show it; touches nothing")
    plan.set_defaults(does="retention:show_retention")
    apply = retention.add_parser("apply", parents=[one], help="remove what the plan removes")
    server = apply.add_mutually_exclusive_group(required=True)
    server.add_argument(
        "--server",
        metavar="URL",
        help="the protected server, where no backup may begin meanwhile; without a password",
    )
    server.add_argument(
        "--server-is-gone", action="store_true", help="it is gone for good; nothing backs it up"
    )
    apply.set_defaults(does="retention:apply")

    hold = commands.add_parser("hold", help="legal holds").add_subparsers(
        required=True, metavar="ACTION"
    )
    place = hold.add_parser("place", parents=[one], help="keep a recovery point, however old")
    place.add_argument("id", help="of a backup, a stretch of WAL or a fingerprint")
    place.add_argument("--reason", required=True)
    place.set_defaults(does="retention:place")
    listing = hold.add_parser("list", parents=[one], help="the holds that are active")
    listing.set_defaults(does="retention:list_holds")
    release = hold.add_parser("release", parents=[one], help="end a hold")
    release.add_argument("id", help="of the hold")
    release.add_argument("--reason", required=True)
    release.set_defaults(does="retention:release")


def _add_configuration(commands: _Commands, one: argparse.ArgumentParser) -> None:
    configuration = commands.add_parser(
        "configuration", help="stored versions of the configuration"
    ).add_subparsers(required=True, metavar="ACTION")
    listing = configuration.add_parser("list", parents=[one], help="list the versions")
    listing.add_argument("--source", help="of this source only, e.g. parameters")
    listing.set_defaults(does="configuration:list_versions")

    version = "a version's id, a time with its offset from UTC, or newest"
    some = argparse.ArgumentParser(add_help=False, parents=[one])
    some.add_argument("source", help="e.g. parameters")
    some.add_argument(
        "--only", action="append", metavar="NAME", help="these things only; * stands for anything"
    )
    show = configuration.add_parser(
        "show", parents=[some], help="show what a version holds, secrets masked"
    )
    show.add_argument("version", nargs="?", default="newest", help=version)
    show.set_defaults(does="configuration:show_version")
    compare = configuration.add_parser(
        "compare", parents=[some], help="show how two versions differ, secrets masked"
    )
    compare.add_argument("old", help=version)
    compare.add_argument("new", nargs="?", default="newest", help=version)
    compare.set_defaults(does="configuration:compare_versions")


if __name__ == "__main__":
    command()
