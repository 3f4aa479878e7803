"""The git program on repositories elsewhere and on copies of them.

No configuration of the worker's is read and no credential helper asked: what git sees is what is
handed to it. A token goes into a header that the environment sets (git: GIT_CONFIG_COUNT) and only
for the repository's own host, so that it stands in no argument, no address and no message; a
redirect is not followed. A copy is code and nothing but code, in a directory that goes with it.
(git: ls-remote, clone, bundle, push --force-with-lease, fsck; "git bundle" holds refs and objects.)
"""

import base64
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from ledgerkeep.configuration.access import Login
from ledgerkeep.configuration.children import Said, inherited, program
from ledgerkeep.configuration.items import Content, canonical
from ledgerkeep.configuration.scratch import Scratch
from ledgerkeep.errors import ServiceRefused, ServiceUnavailable, SourceChanged

_SEEN = (
    *("PATH", "HOME", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)
_ALWAYS = {
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ALLOW_PROTOCOL": "https:http:ssh:file",
}
_SETTINGS = {
    "gc.auto": "0",
    "core.hooksPath": "/dev/null",
    "http.followRedirects": "false",
    "advice.detachedHead": "false",
}
# Constant for the shell that git runs it in; the path is a variable's value there.
_SSH = (
    'exec ssh -i "$LEDGERKEEP_SSH_KEY" -o IdentitiesOnly=yes -o BatchMode=yes '
    "-o StrictHostKeyChecking=yes"
)
_ROOT = Path("/")
_FACTS = (
    "%(refname)%00%(objectname)%00%(objecttype)%00%(*objectname)%00%(taggername)%00%(taggeremail)"
    "%00%(if)%(contents:signature)%(then)signed%(end)"
)
_AWAY = re.compile(
    r"could not resolve host|connection refused|timed out|unable to connect|failed to connect|"
    r"network is unreachable|early EOF|the remote end hung up|returned error: 5\d\d|"
    r"returned error: 429|no route to host",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"authentication failed|permission denied|could not read username|could not read password|"
    r"returned error: 40[13]|access denied|host key verification failed|permission to .* denied",
    re.IGNORECASE,
)
_PROTECTED = re.compile(r"protected branch|hook declined|GH006|GH013", re.IGNORECASE)


@dataclass(frozen=True)
class Listed:
    """What a repository has, by its own account."""

    head: str
    """The branch that it is cloned with, such as `main`; empty: none, or it does not exist."""
    refs: Mapping[str, str]
    """Ref → object."""

    def mark(self) -> str:
        """Hex SHA-256; another one whenever anything in it has another."""
        return hashlib.sha256(canonical([self.head, dict(self.refs)])).hexdigest()

    def without(self, hidden: Callable[[str], bool]) -> "Listed":
        """The same but for some refs."""
        return Listed(self.head, {ref: one for ref, one in self.refs.items() if not hidden(ref)})


@dataclass(frozen=True)
class Remote:
    """A repository elsewhere, and how it is reached."""

    name: str
    url: str
    connection: str
    """Of the policy, for hints; empty: without credentials."""
    patience: timedelta
    environment: Mapping[str, str] = field(repr=False)

    def listed(self) -> Listed:
        """Its refs; one request.

        :raises ServiceRefused, ServiceUnavailable:
        """
        said = self._run("list the refs", "ls-remote", "--symref", "--", self.url)
        return parse_listing(said.output)

    def copied(self) -> "Copy":
        """All of its refs and objects, in a directory of their own.

        :raises ServiceRefused, ServiceUnavailable:
        """
        copy = Copy(Scratch(), self.patience, environment_of("", None))
        self._run(
            "clone",
            *("clone", "--quiet", "--mirror", "--template=", "--", self.url, str(copy.path)),
        )
        return copy

    def push(self, ref: str, before: str, after: str, copy: "Copy") -> None:
        """Set a ref, if it is still what it was.

        :param before: the object that it names now; empty: there is no such ref.
        :param after: an object of the copy; empty: the ref is removed.
        :raises SourceChanged: it is something else by now.
        :raises ServiceRefused, ServiceUnavailable:
        """
        git = program("git", self.environment, self.patience)
        said = git.run(
            *("push", "--quiet", f"--force-with-lease={ref}:{before}"),
            *("--", self.url, f"{after}:{ref}"),
            directory=copy.path,
        )
        if "stale info" in said.errors:
            raise self.moved(ref)
        if said.code != 0:
            raise self._failed(f"set {ref}", said.errors)

    def moved(self, ref: str) -> SourceChanged:
        """Somebody was faster."""
        return SourceChanged(
            f"{ref} of {self.name} was moved by somebody since it was looked at",
            hint="compare again, and see whether it still has to be restored",
        )

    def _run(self, what: str, *arguments: str) -> Said:
        git = program("git", self.environment, self.patience)
        said = git.run(*arguments, directory=_ROOT)
        if said.code != 0:
            raise self._failed(what, said.errors)
        return said

    def _failed(self, what: str, said: str) -> ServiceRefused:
        message = f"git could not {what} of {self.name}: {said}"
        if _AWAY.search(said):
            return ServiceUnavailable(
                message, hint=f"check the network between the worker and {self.url}"
            )
        if _PROTECTED.search(said):
            return ServiceRefused(
                message,
                hint="the branch is protected against this: allow it to the token's owner for the "
                "time of the recovery, or set the branch by hand",
            )
        if _DENIED.search(said):
            return ServiceRefused(message, hint=self._grant())
        return ServiceRefused(
            message,
            hint="correct its url in the policy; if the repository is gone, make an empty one in "
            f"its place, then recover it; if it is hidden from us, {self._grant()}",
        )

    def _grant(self) -> str:
        if not self.connection:
            return "name a connection_id for it in the policy, whose token may read it"
        return (
            f"give the token of the connection {self.connection} the permission Contents: read "
            "(for a recovery: write), or its SSH key access"
        )


@dataclass(frozen=True)
class Copy:
    """A bare repository on this worker, that goes when nobody holds it any more."""

    scratch: Scratch
    patience: timedelta
    environment: Mapping[str, str] = field(repr=False)

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.scratch.path / "copy.git"

    def refs(self) -> dict[str, Mapping[str, Content]]:
        """Ref → what is stored of it."""
        said = self._run("list the refs", "for-each-ref", f"--format={_FACTS}")
        rows = (line.split("\0") for line in said.output.splitlines())
        return {row[0]: _facts(row) for row in rows}

    def bundle(self) -> Iterator[bytes]:
        """Everything in it, as one file that git can clone; the copy is removed after it."""
        git = program("git", self.environment, self.patience)
        yield from git.stream(
            *("bundle", "create", "--quiet", "-", "--all"),
            directory=self.path,
            what="bundle a repository",
        )
        self.scratch.remove()

    def has(self, objects: str) -> bool:
        """Whether it has an object."""
        git = program("git", self.environment, self.patience)
        return git.run("cat-file", "-e", objects, directory=self.path).code == 0

    def take_in(self, bundle: Iterator[bytes]) -> None:
        """Add what a bundle holds."""
        file = self.scratch.path / "stored.bundle"
        with file.open("wb") as written:
            for chunk in bundle:
                written.write(chunk)
        self._run(
            "read the stored bundle",
            *("fetch", "--quiet", "--no-tags", "--prune", "--", str(file), "+refs/*:refs/stored/*"),
        )
        file.unlink()

    def faults(self) -> list[str]:
        """What `git fsck` finds wrong with it, the first few."""
        return faults_in(self.path, self.environment, self.patience)

    def _run(self, what: str, *arguments: str) -> Said:
        git = program("git", self.environment, self.patience)
        said = git.run(*arguments, directory=self.path)
        if said.code != 0:
            raise ServiceRefused(
                f"git could not {what}: {said.errors}", hint="use another version, or look at git"
            )
        return said


def empty_copy(patience: timedelta) -> Copy:
    """A repository with nothing in it."""
    environment = environment_of("", None)
    copy = Copy(Scratch(), patience, environment)
    make_bare(copy.path, environment, patience)
    return copy


def make_bare(path: Path, environment: Mapping[str, str], patience: timedelta) -> None:
    """An empty bare repository; harmless where there is one."""
    git = program("git", environment, patience)
    git.run("init", "--quiet", "--bare", "--template=", "--", str(path), directory=path.parent)


def set_head(path: Path, branch: str, environment: Mapping[str, str], patience: timedelta) -> None:
    """Which branch a repository on this worker is cloned with."""
    git = program("git", environment, patience)
    git.run("symbolic-ref", "HEAD", f"refs/heads/{branch}", directory=path)


def faults_in(path: Path, environment: Mapping[str, str], patience: timedelta) -> list[str]:
    """What `git fsck` finds wrong with a repository, the first few."""
    git = program("git", environment, patience)
    said = git.run("fsck", "--full", "--no-dangling", "--no-progress", directory=path)
    lines = [*said.output.splitlines(), *([said.errors] if said.code else [])]
    return [line for line in lines if line][:5] if said.code else []


def environment_of(url: str, login: Login | None) -> dict[str, str]:
    """What git sees when it speaks to a repository."""
    settings = dict(_SETTINGS)
    environment = {**inherited(_SEEN), **_ALWAYS}
    if login is not None and login.extra.get("key_file"):
        environment["GIT_SSH_COMMAND"] = _SSH
        environment["LEDGERKEEP_SSH_KEY"] = login.extra["key_file"]
    elif login is not None and login.password and url.startswith(("https://", "http://")):
        where = urlsplit(url)
        pair = f"{login.login or 'x-access-token'}:{login.password}".encode()
        header = f"Authorization: Basic {base64.b64encode(pair).decode()}"
        settings[f"http.{where.scheme}://{where.netloc.rpartition('@')[2]}/.extraHeader"] = header
    environment["GIT_CONFIG_COUNT"] = str(len(settings))
    for at, (name, value) in enumerate(settings.items()):
        environment |= {f"GIT_CONFIG_KEY_{at}": name, f"GIT_CONFIG_VALUE_{at}": value}
    return environment


def parse_listing(output: str) -> Listed:
    """What `git ls-remote --symref` says."""
    head, refs = "", {}
    for line in output.splitlines():
        told, _, ref = line.partition("\t")
        if ref == "HEAD" and told.startswith("ref: "):
            head = told.removeprefix("ref: ").removeprefix("refs/heads/")
        elif ref.startswith("refs/") and not ref.endswith("^{}"):
            refs[ref] = told
    return Listed(head, refs)


def _facts(row: list[str]) -> Mapping[str, Content]:
    ref, named, kind, target, tagger, address, signed = row
    if not ref.startswith("refs/tags/"):
        return {"object": named}
    return {
        "object": named,
        "annotated": kind == "tag",
        "target": target or named,
        "tagger": f"{tagger} {address}".strip(),
        "signed": signed == "signed",
    }
