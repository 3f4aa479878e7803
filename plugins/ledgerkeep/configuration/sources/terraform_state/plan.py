"""`terraform plan` as the judge of a state that was written back.

Terraform reads the state where its code's backend says it is, asks the providers what there
really is, and says what it would do. It runs with the worker's own identity, since credentials of a
connection could reach it only through its environment or a file, and with nothing of the worker's
environment but what leads to that identity, to the network, and to its own settings. It writes
nothing: its data lies in a temporary directory, and the plan is not kept. It takes no lock, so that
one that is killed leaves none.

What cannot be asked is said to be not verified; that is no success.
(Terraform: "plan" command, -detailed-exitcode and Machine-Readable UI; environment variables.)
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from ledgerkeep.configuration.children import Program, Said, inherited, program
from ledgerkeep.configuration.scratch import Scratch
from ledgerkeep.errors import WorkerError
from ledgerkeep.policy.configuration_sources import StatePlan

_CHANGES = 2
"""Exit code: it would change something."""
_NAMED = 10
"""Resources that are named; of more, only how many."""
_SEEN = (
    *("PATH", "HOME", "TMPDIR", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("TF_CLI_CONFIG_FILE", "TF_PLUGIN_CACHE_DIR"),
    *("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CONFIG_FILE", "AWS_CA_BUNDLE"),
    *("AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"),
    *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
    *("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"),
)
_WORDS = {
    "create": "create",
    "update": "change",
    "delete": "destroy",
    "replace": "replace",
    "import": "import",
    "move": "move",
    "forget": "forget",
    "remove": "forget",
}


@dataclass(frozen=True)
class Verification:
    """How one state is verified."""

    bucket: str
    plan: StatePlan
    patience: timedelta

    def problems(self) -> list[str]:
        """What terraform would do, or why it was not asked; empty: nothing."""
        if not self.plan.directory.is_dir():
            return [self._not(f"this worker has no directory {self.plan.directory}")]
        try:
            terraform = program("terraform", inherited(_SEEN), self.patience)
        except WorkerError as problem:
            return [self._not(problem.message)]
        with Scratch() as data:
            return list(self._asked(terraform, data))

    def _asked(self, terraform: Program, data: Path) -> Iterator[str]:
        settings = {"TF_DATA_DIR": str(data), "TF_IN_AUTOMATION": "1", "TF_INPUT": "0"}
        if self.plan.workspace != "default":
            settings["TF_WORKSPACE"] = self.plan.workspace
        there = self.plan.directory
        begun = terraform.run(
            *("init", "-input=false", "-no-color", "-lockfile=readonly"),
            directory=there,
            **settings,
        )
        if begun.code != 0:
            yield self._not(f"terraform init failed: {_first_error(begun.errors)}")
            return
        elsewhere = self._elsewhere(data)
        if elsewhere:
            yield self._not(elsewhere)
            return
        planned = terraform.run(
            *("plan", "-input=false", "-lock=false", "-detailed-exitcode", "-json"),
            *(f"-var-file={name}" for name in self.plan.variable_files),
            directory=there,
            **settings,
        )
        yield from self._told(planned)

    def _told(self, planned: Said) -> Iterator[str]:
        said = list(_messages(planned.output))
        if planned.code == _CHANGES:
            yield (
                f"terraform plan of {self.plan.key} would {_summary(said)}; look at it before "
                "anybody applies it"
            )
        elif planned.code != 0:
            errors = [
                str(one["diagnostic"].get("summary", ""))
                for one in said
                if one.get("type") == "diagnostic" and one["diagnostic"]["severity"] == "error"
            ]
            yield self._not(
                f"terraform plan failed: {'; '.join(errors) or _first_error(planned.errors)}"
            )

    def _elsewhere(self, data: Path) -> str:
        """Where the code's backend leads, if that is not to this state."""
        recorded = data / "terraform.tfstate"
        backend = json.loads(recorded.read_text())["backend"] if recorded.exists() else {}
        if backend.get("type") != "s3":
            return f"the code in {self.plan.directory} keeps its state in no s3 backend"
        settings, workspace = backend["config"], self.plan.workspace
        key = settings["key"]
        if workspace != "default":
            key = f"{settings.get('workspace_key_prefix') or 'env:'}/{workspace}/{key}"
        found = f"{settings['bucket']}/{key}"
        if found == f"{self.bucket}/{self.plan.key}":
            return ""
        return f"the code in {self.plan.directory} keeps its state in {found}"

    def _not(self, why: str) -> str:
        return f"not verified: {self.plan.key}: {why}"


def _messages(output: str) -> Iterator[Mapping[str, Any]]:
    for line in output.splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def _summary(said: list[Mapping[str, Any]]) -> str:
    """Which resources would be touched and how; nothing of their values."""
    by_action: dict[str, list[str]] = {}
    for one in said:
        if one.get("type") == "planned_change":
            change = one["change"]
            word = _WORDS.get(change["action"], change["action"])
            by_action.setdefault(word, []).append(change["resource"]["addr"])
    if not by_action:
        return "change outputs only"
    return ", ".join(f"{word} {_listed(names)}" for word, names in sorted(by_action.items()))


def _listed(names: list[str]) -> str:
    shown = " and ".join(sorted(names)[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"


def _first_error(text: str) -> str:
    """Its summary: what comes after it may quote values."""
    _, found, after = text.partition("Error: ")
    words = after if found else text
    for end in (" │", " ╵", " on ", ". "):
        words = words.partition(end)[0]
    return words[:200].strip(" │╷╵")
