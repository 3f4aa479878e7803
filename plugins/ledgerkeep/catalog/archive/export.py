"""The lists with which an archive goes onto offline media, and comes back from them.

`SHA256SUMS` is what `sha256sum --check` reads; the instructions are the commands in the order in
which a person runs them. Both are made from the archive's record alone, so that they can be made
again and are the same. Pure.
"""

from ledgerkeep.catalog.archive.record import COMPLETE, YearlyArchive
from ledgerkeep.progress import format_bytes

SUMS = "SHA256SUMS"
INSTRUCTIONS = "OFFLINE.txt"

_THAWED = {"GLACIER", "DEEP_ARCHIVE"}
"""Storage classes that must be asked for a readable copy first."""


def checksums(archive: YearlyArchive) -> bytes:
    """A line per object in the format of `sha256sum`; names are keys of the bucket."""
    head = f"# archive {archive.id} of {archive.location}, {len(archive.objects)} objects"
    lines = [f"{stored.sha256}  {stored.key}" for stored in archive.objects]
    return "\n".join([head, *lines, ""]).encode()


def instructions(archive: YearlyArchive, prefix: str) -> bytes:
    """What to do, as text for people.

    :param prefix: where the archive's own files lie in the vault.
    """
    bucket = archive.location.removeprefix("s3://")
    steps = [_mirror(bucket, prefix), _thaw(archive, bucket), _fetch(bucket), _check(), _write()]
    steps.append(_restore(archive))
    text = [*_title(archive)]
    for number, step in enumerate(filter(None, steps), start=1):
        title, *rest = step
        text += [f"{number}. {title}", *(f"   {line}" if line else "" for line in rest), ""]
    return "\n".join(text).encode()


def _title(archive: YearlyArchive) -> list[str]:
    return [
        f"Compliance archive {archive.id}",
        "",
        f"environment:     {archive.environment}, cluster {archive.cluster}",
        f"recovery point:  {archive.recovery_point_id} ({archive.level})",
        f"backups in it:   {', '.join(archive.backup_ids)}",
        f"vault:           {archive.location}, {archive.storage_class}",
        f"size:            {len(archive.objects)} objects, {format_bytes(archive.stored_bytes)}",
        f"locked until:    {archive.locked_until:%Y-%m-%d %H:%M:%S}Z",
        "",
        "All commands run in one empty directory with room for the size above, with credentials "
        "that may",
        "read the vault. Names in SHA256SUMS are keys of the bucket.",
        "",
    ]


def _mirror(bucket: str, prefix: str) -> list[str]:
    return [
        "Fetch the lists and the archive's record.",
        *(
            f"aws s3 cp s3://{bucket}/{prefix}{name} {name}"
            for name in (SUMS, INSTRUCTIONS, COMPLETE)
        ),
    ]


def _thaw(archive: YearlyArchive, bucket: str) -> list[str]:
    """Only where the storage class cannot be read at once."""
    if archive.storage_class not in _THAWED:
        return []
    cold = r"grep -v '^#' SHA256SUMS | cut -c 67- | grep '/backups/' | grep -v '\.json$'"
    return [
        "Ask for readable copies, for 14 days; up to 48 hours until they are there.",
        f"{cold} | while read -r key; do",
        f'  aws s3api restore-object --bucket {bucket} --key "$key" \\',
        """    --restore-request '{"Days":14,"GlacierJobParameters":{"Tier":"Bulk"}}'""",
        "done",
        'Ready are those for which aws s3api head-object shows ongoing-request="false".',
    ]


def _fetch(bucket: str) -> list[str]:
    return [
        "Fetch every object to the path that is its key.",
        "grep -v '^#' SHA256SUMS | cut -c 67- | while read -r key; do",
        f'  aws s3 cp --force-glacier-transfer "s3://{bucket}/$key" "./$key"',
        "done",
    ]


def _check() -> list[str]:
    return [
        "Check them; it must end without a word.",
        "sha256sum --check --strict --quiet SHA256SUMS",
    ]


def _write() -> list[str]:
    return [
        "Write the whole directory to two media of different make (LTO tape, or archival disc),",
        "read each back with the command of the step before, label both with the archive's name",
        "and the date, write-protect them, and keep them in two places. Enter both in the",
        "register of media; read them again every year.",
    ]


def _restore(archive: YearlyArchive) -> list[str]:
    return [
        "To restore, from the vault or from a bucket that the media were copied to:",
        f"copy the policy file {archive.environment}.yaml into a directory of its own, set its "
        "storage section to",
        "that bucket, its region and connection, object_lock: null, and run",
        f"LEDGERKEEP_POLICIES=DIR ledgerkeep restore --environment {archive.environment} "
        f"--system-identifier {archive.system_identifier} \\",
        f"  --backup {archive.recovery_point_id} --latest --destination EMPTY-DIRECTORY",
    ]
