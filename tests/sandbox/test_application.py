"""What AWS knows of the application: made once, on the stand-in."""

from include.sandbox import environment
from include.sandbox.application import client, make_applications
from ledgerkeep.documents.failover.application import Application
from ledgerkeep.policy.load import load_policies
from tests.support.aws_server import empty_aws


def test_application_uses_the_primary_and_its_services_run() -> None:
    """A second call, such as that of a repeated start, leaves a failover where it is."""
    policies = load_policies(environment.POLICIES)
    with empty_aws() as url:
        make_applications(url, policies)
        for policy in policies:
            documents = policy.documents
            if documents is None or documents.failover is None:
                continue
            failover = documents.failover
            found = Application(
                failover.parameter,
                failover.cluster,
                failover.services,
                client(url, "ssm", failover.region),
                client(url, "ecs", failover.region),
            )
            assert found.bucket() == documents.bucket
            assert [state.is_stable for state in found.states()] == [True]
            found.point_at("replica")
            make_applications(url, policies)
            assert found.bucket() == "replica"
