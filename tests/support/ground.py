"""Where the servers of a test run lie: in memory where there is plenty of it, else on the disk.

A run makes and removes some hundred thousand small files, a database cluster at a time. ext4 takes
no inode again for minutes after its file was removed, and looks at all of these whenever a file is
made (Linux: fs/ext4/ialloc.c, `recently_deleted`); a tenth of a run's processor time went there.
"""

import os
import tempfile
from pathlib import Path

import psutil

_MEMORY = Path("/dev/shm")
_DISK = Path("/var/tmp")
_FILES = 6 << 30
"""What the files of a run may take; about 1.3 GB were seen."""
_PROCESSES = 8 << 30
"""What the processes of a run may take; about 6 GB were seen."""
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Of a container, as its inside sees them (cgroup v2, v1)."""


def make_ground(prefix: str) -> Path:
    """A new directory that every account can enter; the caller removes it."""
    directory = Path(tempfile.mkdtemp(prefix=prefix, dir=_MEMORY if _is_roomy() else _DISK))
    directory.chmod(0o755)
    return directory


def _is_roomy() -> bool:
    try:
        found = os.statvfs(_MEMORY)
    except OSError:
        return False
    if found.f_flag & (os.ST_NOEXEC | os.ST_RDONLY):
        return False
    room = found.f_bavail * found.f_frsize
    return room >= _FILES and _memory() >= _FILES + _PROCESSES


def _memory() -> int:
    """Bytes that processes may take, here and in the container around."""
    limits = [psutil.virtual_memory().available]
    for limit in map(Path, _LIMITS):
        if limit.exists() and (text := limit.read_text().strip()).isdigit():
            limits.append(int(text))
    return min(limits)
