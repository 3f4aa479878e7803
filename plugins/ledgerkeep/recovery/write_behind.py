"""Puts written files on the disk while others are still being written.

A server that starts on a restored copy flushes all of it first, and recovery waits for that. The
disk, though, was idle while the copy was extracted. So what is written is flushed behind the
writer's back: on one thread, one piece at a time, and only pieces worth a request of their own.
Whatever is left over, the server flushes at its start; correctness never depends on this.
"""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

STEP = 128 * 1024 * 1024
"""Bytes written between two flushes; each of them also commits the file system's journal."""


class WriteBehind:
    """Flushes open files in the background; leaving the block waits for the flush under way.

    :param step: bytes written between two flushes; None: flush nothing, since a copy that a test
        throws away need not survive a power cut.
    :raises OSError: from `wrote` or at the end, when the disk refused a flush.
    """

    def __init__(self, step: int | None = STEP) -> None:
        self._step = step
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="write-behind")
        self._under_way: Future[None] | None = None
        self._unflushed = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._executor.shutdown()
        if problem is None and self._under_way is not None:
            self._under_way.result()

    def wrote(self, descriptor: int, size: int) -> None:
        """Note that `size` bytes were written to an open file; it may be closed right after."""
        self._unflushed += size
        if self._step is None or self._unflushed < self._step or not self._idle():
            return
        self._unflushed = 0
        # Its own descriptor, since the writer closes its one when the file ends.
        self._under_way = self._executor.submit(_flush, os.dup(descriptor))

    def _idle(self) -> bool:
        if self._under_way is None:
            return True
        if not self._under_way.done():
            return False
        self._under_way.result()
        return True


def _flush(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
