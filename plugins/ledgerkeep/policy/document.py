"""A YAML document as plain values, with the line of every field.

A person who corrects a policy needs the line, so the document is composed into YAML's node tree
first and its values are made from there; `line_of` then finds the line of any path, or of the
nearest field above it. What YAML would let pass in silence (a key given twice, an anchor inside
itself) is a fault here.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ledgerkeep.errors import LedgerkeepError

FieldPath = tuple[str | int, ...]

# libyaml parses ten times faster; a platform without it still gets the same tree.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong in a policy file."""

    line: int
    field: str
    """Dotted path, empty for the file as a whole."""
    found: str
    allowed: str

    def __str__(self) -> str:
        where = f"{self.field}: " if self.field else ""
        return f"line {self.line}: {where}found {self.found}; allowed: {self.allowed}"


class DocumentRefused(LedgerkeepError):
    """The text is no usable YAML document; carries the faults."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("the document is refused")
        self.faults = faults


@dataclass
class Document:
    """The values of one YAML file and where each of them stands."""

    values: Any
    lines: dict[FieldPath, int] = field(default_factory=dict)
    """Path → line of its key (of the item, in a list), counted from 1."""

    def line_of(self, path: FieldPath) -> int:
        """The line of `path`, or of the nearest field above it that the file has."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def value_of(self, path: FieldPath) -> Any:
        """The value at `path`, None where there is none."""
        value = self.values
        for step in path:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                return None
        return value


def field_name(path: FieldPath) -> str:
    """`("database", "databases", 0)` as `database.databases[0]`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def read_text(path: Path) -> str:
    """What a file holds.

    :raises DocumentRefused: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        found = f"a file that cannot be read ({problem})"
        raise DocumentRefused([Fault(1, "", found, "a readable UTF-8 file")]) from problem


def parse_document(text: str) -> Document:
    """The values of a YAML text.

    :raises DocumentRefused: no YAML, a key given twice, an anchor inside itself.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        builder = _Builder(loader)
        values = builder.build(node, ()) if node is not None else None
    except yaml.MarkedYAMLError as problem:
        raise DocumentRefused([_syntax_fault(problem)]) from problem
    except yaml.reader.ReaderError as problem:
        found = f"a character YAML does not know ({problem.reason})"
        raise DocumentRefused([Fault(1, "", found, "printable UTF-8 text")]) from problem
    finally:
        loader.dispose()
    if builder.faults:
        raise DocumentRefused(builder.faults)
    return Document(values, builder.lines)


def _syntax_fault(problem: yaml.MarkedYAMLError) -> Fault:
    mark = problem.problem_mark or problem.context_mark
    context = f" {problem.context}" if problem.context else ""
    line = mark.line + 1 if mark else 1
    return Fault(line, "", f"text that is not YAML ({problem.problem}{context})", "YAML")


class _Builder:
    """Makes values from nodes and notes the line of each."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._open: set[int] = set()
        self.lines: dict[FieldPath, int] = {}
        self.faults: list[Fault] = []

    def build(self, node: yaml.Node, path: FieldPath) -> Any:
        if id(node) in self._open:
            self._fault(node, path, "an anchor that contains itself", "a value")
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            if isinstance(node, yaml.SequenceNode):
                return [self._item(item, (*path, n)) for n, item in enumerate(node.value)]
            return self._loader.construct_object(node)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, path: FieldPath) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            here = (*path, key)
            if key in made:
                first = f"a field that line {self.lines[here]} gives already"
                self._fault(key_node, here, first, "each field once")
                continue
            self.lines[here] = key_node.start_mark.line + 1
            made[key] = self.build(value_node, here)
        return made

    def _item(self, node: yaml.Node, path: FieldPath) -> Any:
        self.lines[path] = node.start_mark.line + 1
        return self.build(node, path)

    def _fault(self, node: yaml.Node, path: FieldPath, found: str, allowed: str) -> None:
        self.faults.append(Fault(node.start_mark.line + 1, field_name(path), found, allowed))
