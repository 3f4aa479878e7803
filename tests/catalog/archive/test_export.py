"""The lists for offline media: what a person types must work on what was fetched."""

import subprocess
from pathlib import Path

import pytest

from ledgerkeep.catalog.archive.export import checksums, instructions
from tests.catalog.archive.support import archive, memory_vault, own_catalog, stored_backup


@pytest.fixture
def medium(tmp_path: Path) -> Path:
    """A directory with every object of an archive at the path that is its key."""
    catalog, (kept, vault) = own_catalog(), memory_vault()
    stored_backup(catalog, "b1")
    made = archive(catalog, vault).archive
    for one in made.objects:
        path = tmp_path / one.key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(kept.objects[one.key].body)
    (tmp_path / "SHA256SUMS").write_bytes(checksums(made))
    (tmp_path / "OFFLINE.txt").write_bytes(instructions(made, "shelf/"))
    return tmp_path


def check(medium: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"],
        cwd=medium,
        capture_output=True,
        text=True,
    )


def test_checksums_are_read_by_sha256sum(medium: Path) -> None:
    done = check(medium)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    damaged = next(medium.rglob("base.tar.zst.00001"))
    damaged.write_bytes(b"x" + damaged.read_bytes()[1:])
    done = check(medium)
    assert done.returncode == 1
    assert done.stdout == f"{damaged.relative_to(medium)}: FAILED\n"


def test_commands_of_the_instructions_reach_every_object(medium: Path) -> None:
    """Run as written, with an `aws` that notes what it is asked for."""
    programs = medium / "bin"
    programs.mkdir()
    (programs / "aws").write_text('#!/bin/sh\nprintf "%s\\n" "$*" >> "$LOG"\n')
    (programs / "aws").chmod(0o755)
    text = (medium / "OFFLINE.txt").read_text()
    body = text[text.index("1. ") : text.index("5. ")]
    commands = [
        line[3:] for line in body.splitlines() if line.startswith("   ") and not line[3].isupper()
    ]
    assert "sha256sum --check --strict --quiet SHA256SUMS" in commands
    subprocess.run(
        ["/bin/sh", "-e", "-c", "\n".join(commands)],
        cwd=medium,
        env={"PATH": f"{programs}:/usr/bin:/bin", "LOG": str(medium / "log")},
        check=True,
    )
    asked = (medium / "log").read_text().splitlines()
    thawed = [line.split()[5] for line in asked if line.startswith("s3api restore-object")]
    assert sorted(Path(key).name for key in thawed) == [
        "backup_manifest",
        "base.tar.zst.00001",
        "base.tar.zst.00002",
    ]
    fetched = {line.split()[3] for line in asked if line.startswith("s3 cp --force")}
    objects = [path for path in (medium / "production").rglob("*") if path.is_file()]
    assert fetched == {f"s3://vault/{path.relative_to(medium)}" for path in objects}


def test_instructions_thaw_nothing_that_can_be_read_at_once(medium: Path) -> None:
    catalog, (_, vault) = own_catalog(), memory_vault()
    stored_backup(catalog, "b1")
    made = archive(catalog, vault).archive
    warm = made.model_copy(update={"storage_class": "GLACIER_IR"})
    assert b"restore-object" in instructions(made, "shelf/")
    assert b"restore-object" not in instructions(warm, "shelf/")
    assert b"2. Fetch every object" in instructions(warm, "shelf/")
