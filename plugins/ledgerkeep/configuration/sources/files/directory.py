"""Files below a directory on the worker.

Symbolic links are not followed, neither when files are read nor when they are put back: what is
outside the directory is nobody's business here. A file is replaced in one step, by a file that was
written and synchronised beside it, so a reader sees the old one or the new one. Until then that
file is readable by the worker alone, whatever the mode it gets. A temporary file that a kill leaves
behind is overwritten by the next attempt.
"""

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ledgerkeep.configuration.sources.files.place import CORNERS, Listed, Place, Read, body_of
from ledgerkeep.errors import ConfigurationError

_CORNER = f".{CORNERS}-"
_TEMPORARY = ".ledgerkeep-writing-"
_OURS = (_CORNER, _TEMPORARY)
_TRIES = 3


@dataclass(frozen=True)
class DirectoryPlace(Place):
    """A directory."""

    directory: Path
    is_corner: bool = False

    def list(self) -> Iterator[Listed]:
        """Regular files, by path.

        :raises ConfigurationError: there is no such directory. Nothing in it would look as if
            every file had been deleted.
        """
        if not self.is_corner:
            self._require()
        for top, directories, names in os.walk(self.directory, onerror=_refuse):
            directories[:] = sorted(one for one in directories if not one.startswith(_OURS))
            for name in sorted(names):
                path = Path(top, name)
                found = _stat(path)
                if found and stat.S_ISREG(found.st_mode) and not name.startswith(_OURS):
                    yield Listed(self._relative(path), found.st_size, _mark(found))

    def read(self, path: str) -> Read | None:
        """With its mode; what was written while it was read is read again."""
        whole = self._inside(path)
        for _ in range(_TRIES):
            try:
                file = os.open(whole, os.O_RDONLY | os.O_NOFOLLOW)
            except FileNotFoundError:
                return None
            except OSError as problem:
                raise _failed("read", whole, problem) from problem
            with os.fdopen(file, "rb") as opened:
                before = os.fstat(file)
                body = opened.read()
                after = os.fstat(file)
            if _mark(before) == _mark(after):
                mode = f"{stat.S_IMODE(after.st_mode):04o}"
                return Read(Listed(path, len(body), _mark(after)), body, {"mode": mode})
        raise ConfigurationError(
            f"{whole} changes whenever it is read", hint="is it a log? leave it out by include"
        )

    def write(self, path: str, wanted: Mapping[str, Any]) -> None:
        """In one step."""
        whole, body = self._inside(path), body_of(wanted)
        temporary = whole.parent / f"{_TEMPORARY}{hashlib.sha256(path.encode()).hexdigest()[:16]}"
        try:
            whole.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
            with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
                file.write(body)
                file.flush()
                os.fchmod(file.fileno(), int(wanted["mode"], 8))
                os.fsync(file.fileno())
            temporary.replace(whole)
            _synchronise(whole.parent)
        except OSError as problem:
            raise _failed("write", whole, problem) from problem

    def remove(self, path: str) -> None:
        """And nothing else: an empty directory stays."""
        whole = self._inside(path)
        try:
            whole.unlink(missing_ok=True)
        except OSError as problem:
            raise _failed("delete", whole, problem) from problem

    def corner(self, label: str) -> "DirectoryPlace":
        """Inside the directory: on the same disk, and in nobody's sight but the worker's."""
        corner = self.directory / f"{_CORNER}{label}"
        corner.mkdir(mode=0o700, exist_ok=True)
        return DirectoryPlace(corner, True)

    def clear(self) -> None:
        """Remove the directory."""
        if self.directory.exists():
            shutil.rmtree(self.directory)

    def _inside(self, path: str) -> Path:
        """The file of a path, which must lead to no other place.

        :raises ConfigurationError: it would, by `..` or a symbolic link.
        """
        parts = PurePosixPath(path).parts
        whole = self.directory.joinpath(*parts)
        leads_out = not parts or ".." in parts or PurePosixPath(path).is_absolute()
        below = [one for one in (whole, *whole.parents) if self.directory in one.parents]
        if leads_out or any(one.is_symlink() for one in below):
            raise ConfigurationError(
                f"{path} leads out of {self.directory}, by .. or a symbolic link",
                hint="replace the symbolic link by what it stands for, or leave the file out",
            )
        return whole

    def _relative(self, path: Path) -> str:
        found = path.relative_to(self.directory).as_posix()
        try:
            found.encode()
        except UnicodeEncodeError as problem:
            raise ConfigurationError(
                f"the name of {os.fsencode(path)!r} is no UTF-8",
                hint="rename it, or leave its directory out of the place",
            ) from problem
        return found

    def _require(self) -> None:
        if not self.directory.is_dir():
            raise ConfigurationError(
                f"the directory {self.directory} is not on this worker",
                hint="let the export run where it is, or correct "
                "configuration.sources.files.in_directories",
            )


def _mark(found: os.stat_result) -> str:
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def _synchronise(directory: Path) -> None:
    """Make a renaming outlive a crash."""
    opened = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _refuse(problem: OSError) -> None:
    raise _failed("list", Path(problem.filename), problem) from problem


def _failed(verb: str, path: Path, problem: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"the worker cannot {verb} {path}: {problem.strerror}",
        hint="let the worker's account do it, or leave the file out",
    )
