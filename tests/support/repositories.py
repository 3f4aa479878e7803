"""Real git repositories, over files and over HTTP, and a host that protects their branches."""

import base64
import http.server
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_WHO = {
    "GIT_AUTHOR_NAME": "Ann",
    "GIT_AUTHOR_EMAIL": "ann@lender.example",
    "GIT_COMMITTER_NAME": "Ann",
    "GIT_COMMITTER_EMAIL": "ann@lender.example",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
}


def git(directory: Path, *arguments: str, **more: str) -> str:
    """Run git, and say what it said."""
    done = subprocess.run(
        ["git", *arguments],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "HOME": str(directory), **_WHO, **more},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@dataclass(frozen=True)
class Origin:
    """A repository as its host has it, and a checkout to change it from."""

    bare: Path
    work: Path

    @property
    def url(self) -> str:
        """Of the bare one."""
        return self.bare.as_uri()

    def commit(self, file: str, text: str) -> str:
        """Add a commit to the branch that is checked out, and push it."""
        (self.work / file).write_text(text)
        git(self.work, "add", file)
        git(self.work, "commit", "-q", "-m", f"Write {file}")
        git(self.work, "push", "-q", "origin", "HEAD")
        return git(self.work, "rev-parse", "HEAD")

    def push(self, *arguments: str) -> None:
        """Push something else."""
        git(self.work, "push", "-q", "origin", *arguments)

    def refs(self) -> dict[str, str]:
        """Ref → object."""
        lines = git(self.bare, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        return dict(line.split(" ") for line in lines)


def empty_origin(home: Path, owner: str = "acme", name: str = "infrastructure") -> Origin:
    """One with nothing in it."""
    bare, work = home / owner / f"{name}.git", home / "work" / name
    bare.parent.mkdir(parents=True, exist_ok=True)
    git(home, "init", "-q", "--bare", "-b", "main", str(bare))
    git(home, "clone", "-q", str(bare), str(work))
    git(work, "checkout", "-q", "-b", "main")
    return Origin(bare, work)


def stocked_origin(home: Path, **named: str) -> Origin:
    """One with branches, releases, a note and a pull request's ref."""
    origin = empty_origin(home, **named)
    origin.commit("main.tf", 'resource "terraform_data" "a" {}\n')
    git(origin.work, "tag", "-a", "v1.0.0", "-m", "First release")
    git(origin.work, "tag", "nightly")
    origin.commit("main.tf", 'resource "terraform_data" "b" {}\n')
    git(origin.work, "tag", "-a", "v1.1.0", "-m", "Second release")
    git(origin.work, "notes", "add", "-m", "reviewed")
    git(origin.work, "checkout", "-q", "-b", "feature/queues")
    origin.commit("queues.tf", "# queues\n")
    git(origin.work, "checkout", "-q", "main")
    origin.push("--tags")
    origin.push("refs/notes/*:refs/notes/*", "feature/queues:refs/pull/7/head")
    return origin


@contextmanager
def git_over_http(home: Path, token: str) -> Iterator[tuple[str, list[str]]]:
    """Git's own HTTP backend behind a token; the address, and the headers it was sent."""
    seen: list[str] = []
    wanted = base64.b64encode(f"x-access-token:{token}".encode()).decode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, *_: Any) -> None:
            pass

        def _answer(self) -> None:
            given = self.headers.get("Authorization", "")
            seen.append(given)
            if given != f"Basic {wanted}":
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            done = subprocess.run(
                ["git", "http-backend"],
                input=body,
                env={
                    "PATH": os.environ["PATH"],
                    "GIT_PROJECT_ROOT": str(home),
                    "GIT_HTTP_EXPORT_ALL": "1",
                    "GIT_CONFIG_COUNT": "1",
                    "GIT_CONFIG_KEY_0": "http.receivepack",
                    "GIT_CONFIG_VALUE_0": "true",
                    "REQUEST_METHOD": self.command,
                    "PATH_INFO": path,
                    "QUERY_STRING": query,
                    "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                    "CONTENT_LENGTH": str(len(body)),
                    "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                    "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                    "REMOTE_ADDR": "127.0.0.1",
                },
                capture_output=True,
                check=False,
            )
            head, _, told = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
            self.send_response(int(headers.pop("Status", "200").split()[0]))
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
