"""The peers: pg_basebackup and pgBackRest, set up the way their manuals advise for speed.

pgBackRest gets two processes, zstd level 1, bundles, and the same store over TLS; it copies the
files itself, so it runs on the database host, here under the servers' account.
"""

import os
import shutil
from pathlib import Path

from include.bench.measure import Measured, measure
from include.bench.stage import Stage

STANZA = "bench"


def pg_basebackup(stage: Stage, log: Path) -> Measured:
    """A plain copy to the local disk: no compression, no store, no read-back."""
    target = stage.place.servers / "pg_basebackup"
    target.mkdir(mode=0o700)
    stage.place.account.own(target)
    try:
        return measure(
            stage.place.account.command(
                [
                    stage.place.programs.path("pg_basebackup"),
                    *("-h", stage.address.host, "-p", str(stage.port), "-U", "postgres"),
                    *("-D", str(target), "-X", "stream", "-c", "fast"),
                ]
            ),
            log=log,
        )
    finally:
        shutil.rmtree(target, ignore_errors=True)


def pg_receivewal(stage: Stage, slot: str, end: str, log: Path) -> Measured:
    """Receive the slot's WAL to the local disk up to a position: no compression, no store."""
    target = stage.place.servers / "pg_receivewal"
    target.mkdir(mode=0o700)
    stage.place.account.own(target)
    try:
        return measure(
            stage.place.account.command(
                [
                    stage.place.programs.path("pg_receivewal"),
                    *("-h", stage.address.host, "-p", str(stage.port), "-U", "postgres"),
                    *("-D", str(target), "-S", slot, "--endpos", end, "--no-loop"),
                ]
            ),
            log=log,
        )
    finally:
        shutil.rmtree(target, ignore_errors=True)


class PgBackRest:
    """pgBackRest on this stage; only where it is on the PATH."""

    def __init__(self, stage: Stage, *, repository: str = "repo", block_maps: bool = False) -> None:
        self.stage = stage
        self.repository = repository
        self.block_maps = block_maps
        self.program = _program(stage)
        self.home = stage.place.servers / f"pgbackrest-{repository}"
        self.home.mkdir(mode=0o700)
        stage.place.account.own(self.home)
        self._configure()

    def run(self, command: str, *options: str, log: Path) -> Measured:
        """Measure one command."""
        return measure(
            self.stage.place.account.command(
                [
                    self.program,
                    f"--config={self.home / 'pgbackrest.conf'}",
                    f"--stanza={STANZA}",
                    *options,
                    command,
                ]
            ),
            log=log,
            environment={"PATH": "/usr/bin:/bin", "HOME": str(self.home)},
        )

    def archive_command(self) -> str:
        """What the server would run for each finished segment, asynchronously."""
        return (
            f"{self.program} --config={self.home / 'pgbackrest.conf'} --stanza={STANZA} "
            "--archive-async archive-push %p"
        )

    def _configure(self) -> None:
        stage = self.stage
        authority = self.home / "store.crt"
        shutil.copy(stage.store.authority, authority)
        lines = [
            "[global]",
            "repo1-type=s3",
            f"repo1-path=/{self.repository}",
            "repo1-s3-bucket=pgbackrest",
            "repo1-s3-region=eu-central-1",
            "repo1-s3-uri-style=path",
            "repo1-s3-endpoint=127.0.0.1",
            "repo1-storage-host=127.0.0.1",
            f"repo1-storage-port={stage.store.port}",
            f"repo1-storage-ca-file={authority}",
            f"repo1-s3-key={stage.store.user.access_key}",
            f"repo1-s3-key-secret={stage.store.user.secret_key}",
            "repo1-bundle=y",
            f"repo1-block={'y' if self.block_maps else 'n'}",
            "repo1-retention-full=9",
            "process-max=2",
            "compress-type=zst",
            "compress-level=1",
            "start-fast=y",
            f"log-path={self.home}",
            f"lock-path={self.home}",
            f"spool-path={self.home}",
            "log-level-console=warn",
            f"[{STANZA}]",
            f"pg1-path={stage.data}",
            f"pg1-port={stage.port}",
            f"pg1-socket-path={stage.address.host}",
            "pg1-user=postgres",
        ]
        conf = self.home / "pgbackrest.conf"
        conf.write_text("\n".join(lines) + "\n")
        conf.chmod(0o600)
        for path in (conf, authority):
            stage.place.account.own(path)


def pgbackrest_version() -> str | None:
    """What `pgbackrest version` prints; None where there is none."""
    import subprocess

    found = shutil.which("pgbackrest")
    if found is None:
        return None
    return subprocess.run([found, "version"], capture_output=True, text=True).stdout.strip()


def _program(stage: Stage) -> str:
    """The program, copied to where the servers' account can reach it."""
    found = shutil.which("pgbackrest")
    if found is None:
        raise FileNotFoundError("pgbackrest")
    copy = stage.place.servers / "pgbackrest-program"
    if copy.exists():  # the server may be running it
        return str(copy)
    shutil.copy(os.path.realpath(found), copy)
    copy.chmod(0o755)
    return str(copy)
