"""`policy check` and `evidence verify`: whether what Ledgerkeep builds on is sound."""

from argparse import Namespace
from pathlib import Path

from ledgerkeep.cli.output import Output
from ledgerkeep.errors import PolicyError
from ledgerkeep.policy.load import LoadedPolicy, read_policies, read_policy
from ledgerkeep.worker import worker_settings


def check_policies(arguments: Namespace, output: Output) -> int:
    """Check policy files, all of the worker's by default; 1 when one is refused."""
    files = [Path(name) for name in arguments.files]
    loaded = [read_policy(path) for path in files] if files else read_policies()
    if not loaded:
        raise PolicyError(
            f"no policy in {worker_settings().policies}",
            hint="name the files, or point LEDGERKEEP_POLICIES at the directory that has them",
        )
    if output.machine:
        output.document({"policies": [_plain(one) for one in loaded]})
    else:
        for one in loaded:
            error = one.error()
            if error is not None:
                output.error(error)
        output.table(["policy", "result"], [[str(one.path), _result(one)] for one in loaded])
    return 1 if any(one.faults for one in loaded) else 0


def verify_evidence(arguments: Namespace, output: Output) -> int:
    """Walk the evidence chain of an environment."""
    from ledgerkeep.cli.session import open_session
    from ledgerkeep.evidence.chain import EvidenceLog

    session = open_session(arguments.environment)
    head = EvidenceLog(session.catalog.store, session.policy).verify()
    if output.machine:
        output.document({"environment": session.policy.environment, **head.model_dump()})
    else:
        output.lines(
            [
                f"evidence of {session.policy.environment}: {head.sequence} records, "
                "each as it was written",
                f"head of the chain: {head.sha256 or 'none yet'}",
            ]
        )
    return 0


def _plain(one: LoadedPolicy) -> dict[str, object]:
    faults = [vars(fault) for fault in one.faults]
    return {"file": str(one.path), "sound": not one.faults, "faults": faults}


def _result(one: LoadedPolicy) -> str:
    count = len(one.faults)
    return f"refused, {count} fault{'s' if count > 1 else ''}" if count else "sound"
