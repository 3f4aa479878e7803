"""The lender's infrastructure as code: a git repository, and a checkout where terraform plans.

They lie on this machine, which the policies cannot know. The sandbox runs them with the addresses
put in that hold here; all else is as it is shipped.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from include.sandbox.lender import terraform
from include.sandbox.lender.account import LenderAccount
from ledgerkeep.policy.model import Policy

_WHO = {"NAME": "Ada", "EMAIL": "ada@lender.example", "DATE": "2026-01-05T09:00:00+00:00"}


def place_policies(shipped: Path, home: Path, policies: Iterable[Policy]) -> Path:
    """Write the policies as the sandbox in `home` runs them; their directory."""
    placed = home / "policies-here"
    shutil.rmtree(placed, ignore_errors=True)
    shutil.copytree(shipped, placed)
    for policy in policies:
        file = placed / f"{policy.environment}.yaml"
        text = file.read_text()
        for there, here in _addresses(policy, home).items():
            text = text.replace(there, here)
        file.write_text(text)
    return placed


def stock(policies: Iterable[Policy], url: str, seed: str) -> None:
    """Make the repositories and the checkouts.

    :param url: of the AWS stand-in, where the states are; another start may have another one.
    """
    for policy in policies:
        sources = policy.configuration and policy.configuration.sources
        if not sources:
            continue
        states = sources.terraform_state
        for plan in states.plans if states else []:
            assert states is not None
            account = LenderAccount.of(policy, url, seed)
            code = terraform.code(account, states, plan.key)
            plan.directory.mkdir(parents=True, exist_ok=True)
            (plan.directory / "main.tf").write_text(code)
        for repository in sources.repositories.repositories if sources.repositories else []:
            _make_repository(Path(repository.url.removeprefix("file://")))


def _addresses(policy: Policy, home: Path) -> dict[str, str]:
    """What the policy says → what holds here."""
    found: dict[str, str] = {}
    sources = policy.configuration and policy.configuration.sources
    if sources and sources.repositories:
        for one in sources.repositories.repositories:
            path = "/".join(one.url.rstrip("/").split("/")[-2:])
            found[one.url] = f"file://{home}/infrastructure/{path}"
    if sources and sources.terraform_state:
        for plan in sources.terraform_state.plans:
            found[str(plan.directory)] = f"{home}/infrastructure/{policy.environment}"
    return found


def _make_repository(path: Path) -> None:
    """A bare repository with a main branch and two releases; one that is there stays.

    Without git there is none: the export of repositories says then what this machine lacks.
    """
    if path.exists() or shutil.which("git") is None:
        return
    unfinished = path.with_name(f"{path.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    work = unfinished.with_name(f"{path.name}.work")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    _git(work, "init", "--quiet", "--initial-branch=main")
    for release, text in (("v1.0.0", "# Loan infrastructure\n"), ("v1.1.0", "\nTwo zones.\n")):
        with (work / "README.md").open("a") as file:
            file.write(text)
        _git(work, "add", "README.md")
        _git(work, "commit", "--quiet", "-m", f"Prepare {release}")
        _git(work, "tag", "-a", release, "-m", f"Release {release}")
    _git(work.parent, "clone", "--quiet", "--bare", str(work), str(unfinished))
    shutil.rmtree(work)
    unfinished.rename(path)


def _git(directory: Path, *arguments: str) -> None:
    roles = ("AUTHOR", "COMMITTER")
    people = {f"GIT_{role}_{name}": one for role in roles for name, one in _WHO.items()}
    subprocess.run(
        ["git", *arguments],
        cwd=directory,
        check=True,
        env={
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            **people,
        },
    )
