"""Configuration files: in buckets, and in directories on the worker.

A file's key is its place's name and its path below it. Text is kept as text, so that a difference
can be read line by line, anything else as base64. A file that the policy marks as secret is one
secret as a whole. It leaves the worker only encrypted; when it is put back it is written where it
belongs, and so a secret file of a directory is written to that disk, and to no other.

Not kept: owners, times and tags of files, and old versions of objects, which the bucket itself has.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import ClassVar

from ledgerkeep.configuration.access import Access
from ledgerkeep.configuration.registry import configuration_of
from ledgerkeep.configuration.settings import account_of, connection_of
from ledgerkeep.configuration.source import Change, Found, Known, Scope, Source
from ledgerkeep.configuration.sources.files.bucket import BucketPlace
from ledgerkeep.configuration.sources.files.directory import DirectoryPlace
from ledgerkeep.configuration.sources.files.place import Listed, Place, secret_of, text_of
from ledgerkeep.errors import ConfigurationError
from ledgerkeep.policy.configuration_sources import ConfigurationFiles
from ledgerkeep.policy.model import Policy


def open_source(access: Access, settings: ConfigurationFiles, policy: Policy) -> "Files":
    """The configuration files of a policy."""
    connection, region = connection_of(settings, policy)
    places: dict[str, Place] = {}
    for one in settings.in_buckets:
        s3 = access.client("s3", connection, one.region or region)
        places[one.name] = BucketPlace(s3, one.bucket, one.prefix)
    for other in settings.in_directories:
        places[other.name] = DirectoryPlace(Path(other.directory))
    if settings.in_buckets:
        owner = account_of(access, settings, policy)
    else:
        region = configuration_of(policy).region
        owner = Scope(environment=policy.environment, account="the worker", region=region)
    return Files(places, settings, owner)


@dataclass(frozen=True)
class Files(Source):
    """Files of some places."""

    name: ClassVar[str] = "files"
    places: Mapping[str, Place]
    settings: ConfigurationFiles
    owner: Scope

    def scope(self) -> Scope:
        """The AWS account, where any place is a bucket."""
        return self.owner

    def export(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        """Every file that the policy includes."""
        for name, place in sorted(self.places.items()):
            for listed in place.list():
                if not _matches(listed.path, self.settings.include):
                    continue
                key = f"{name}/{listed.path}"
                if known.get(key) == listed.mark:
                    yield Known(key)
                    continue
                self._refuse_large(key, listed)
                yield from self._found(key, place, listed)

    def apply(self, change: Change) -> None:
        """Write or delete one file."""
        name, _, path = change.key.partition("/")
        place = self.places.get(name)
        if place is None:
            raise ConfigurationError(
                f"{change.key} belongs to no place of configuration.sources.files",
                hint=f"add a place {name} to the policy, or leave that file out",
            )
        if change.wanted is None:
            place.remove(path)
        else:
            place.write(path, change.wanted)

    def beside(self, label: str) -> "Files":
        """The same places, each with a corner of its own that no export shows."""
        corners = {name: place.corner(label) for name, place in self.places.items()}
        return replace(self, places=corners)

    def clear(self) -> None:
        """Remove the corners."""
        for place in self.places.values():
            if not place.is_corner:
                super().clear()
        for place in self.places.values():
            place.clear()

    def _found(self, key: str, place: Place, listed: Listed) -> Iterator[Found]:
        read = place.read(listed.path)
        if read is None:  # deleted since it was listed
            return
        self._refuse_large(key, read.listed)
        content = text_of(read.body)
        if _matches(listed.path, self.settings.secret):
            content = secret_of(content)
        yield Found(key, {**content, **read.about}, read.listed.mark)

    def _refuse_large(self, key: str, listed: Listed) -> None:
        if listed.size > self.settings.largest_kib * 1024:
            raise ConfigurationError(
                f"the file {key} has {listed.size} bytes, and configuration.sources.files.largest_"
                f"kib is {self.settings.largest_kib}",
                hint="leave it out by configuration.sources.files.include, or allow its size",
            )


def _matches(path: str, patterns: list[str]) -> bool:
    name = path.rsplit("/", 1)[-1]
    return any(fnmatchcase(path, one) or fnmatchcase(name, one) for one in patterns)
