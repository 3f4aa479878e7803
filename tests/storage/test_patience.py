"""Waiting for a store by time."""

import itertools
import threading

import pytest

from ledgerkeep.errors import ObjectMissing, StoreUnavailable
from ledgerkeep.storage.patience import pauses, try_until


def test_pauses_double_up_to_a_bound_with_jitter():
    bounds = [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    for pause, bound in zip(pauses(), bounds, strict=False):
        assert bound / 2 <= pause <= bound


def test_the_first_success_is_returned():
    answers = iter([StoreUnavailable("busy"), StoreUnavailable("busy"), "done"])

    def attempt() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert try_until(10, attempt) == "done"


def test_other_failures_are_not_repeated():
    attempts = itertools.count()

    def attempt() -> None:
        next(attempts)
        raise ObjectMissing("gone")

    with pytest.raises(ObjectMissing):
        try_until(10, attempt)
    assert next(attempts) == 1


def test_a_stop_ends_the_wait():
    stop = threading.Event()
    stop.set()

    def attempt() -> None:
        raise StoreUnavailable("busy", hint="wait")

    with pytest.raises(StoreUnavailable, match="busy; given up after") as given_up:
        try_until(3600, attempt, stop=stop)
    assert given_up.value.hint == "wait"
