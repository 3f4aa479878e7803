"""The servers of every supported PostgreSQL, for tests that must hold on all of them."""

from dataclasses import replace

import pytest

from include.sandbox.place import Place
from include.sandbox.versions import LibraryMissing, fetch, pinned_versions
from ledgerkeep.database.postgres.programs import Programs

MAJORS = tuple(pinned_versions())


def place_with(place: Place, major: int) -> Place:
    """The same place with the programs of that major version, built with zstd, lz4 and TLS.

    The test is skipped where this system lacks a library that they need; it is named.
    """
    try:
        directory = fetch(major, place.account)
    except LibraryMissing as problem:
        pytest.skip(str(problem))
    return replace(place, programs=Programs(directory, major))
