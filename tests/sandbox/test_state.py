"""What a sandbox remembers is private, and its addresses stay where they were."""

import socket
from pathlib import Path

from include.sandbox.state import Ports, State, write_private


def test_state_is_read_back_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    state = State()
    state.save(tmp_path)
    assert State.load(tmp_path) == state
    assert (tmp_path / "state.json").stat().st_mode & 0o777 == 0o600


def test_a_private_file_is_private_from_its_first_byte(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "secret")
    assert path.read_text() == "secret"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_airflow_tokens_are_signed_with_64_bytes_at_least() -> None:
    assert len(State().secrets.airflow_tokens) >= 64


def test_a_taken_port_is_noticed() -> None:
    ports = Ports.choose()
    assert ports.all_free()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports.metadata))
        taken.listen()
        assert not ports.all_free()


def test_ports_differ() -> None:
    numbers = list(Ports.choose().model_dump().values())
    assert len(set(numbers)) == len(numbers)


def test_a_sandbox_from_before_there_was_a_replica_gets_ports_for_it(tmp_path: Path) -> None:
    ports = Ports.choose()
    known = ports.model_dump(exclude={"replica", "replica_filer"})
    again = Ports.model_validate(known)
    assert again.model_dump(exclude={"replica", "replica_filer"}) == known
    assert len(set(again.model_dump().values())) == len(Ports.model_fields)
