"""The application as a failover sees it: the parameter that names its bucket, and its services.

Changing the parameter changes nothing until the services start again, and a service that was told
to restart is not there yet. So three things are done apart, each of which may be done twice: the
parameter is written and read back, the services are told to deploy anew, and their deployments are
looked at until each has settled.
(AWS: Systems Manager API reference, PutParameter; ECS API reference, UpdateService and Deployment.)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ledgerkeep.aws import ask
from ledgerkeep.ecs import ServiceState, describe_services, state_of
from ledgerkeep.errors import AwsRefused

if TYPE_CHECKING:
    from mypy_boto3_ecs.client import ECSClient
    from mypy_boto3_ssm.client import SSMClient

T = TypeVar("T")

_HINTS = {
    "ParameterNotFound": "correct documents.failover.parameter and region in the policy",
    "ClusterNotFoundException": "correct documents.failover.cluster in the policy",
    "ServiceNotFoundException": "correct documents.failover.services in the policy",
    "ServiceNotActiveException": "the service was deleted; correct documents.failover.services",
}


@dataclass(frozen=True)
class Application:
    """The application's parameter and services, behind two clients."""

    parameter: str
    cluster: str | None
    services: Sequence[str]
    ssm: "SSMClient"
    ecs: "ECSClient"

    def bucket(self) -> str:
        """The bucket that the parameter names.

        :raises AwsRefused, AwsUnavailable: there is no such parameter, or it may not be read.
        """
        found = self._ask(
            f"read the parameter {self.parameter}",
            lambda: self.ssm.get_parameter(Name=self.parameter),
        )
        return found["Parameter"]["Value"]

    def point_at(self, bucket: str) -> bool:
        """Let the parameter name this bucket, and read it back; False: it did already.

        :raises AwsRefused, AwsUnavailable: it could not be written, or reads otherwise afterwards.
        """
        if self.bucket() == bucket:
            return False
        self._ask(
            f"write the parameter {self.parameter}",
            lambda: self.ssm.put_parameter(
                Name=self.parameter, Value=bucket, Type="String", Overwrite=True
            ),
        )
        if (found := self.bucket()) != bucket:
            raise AwsRefused(
                f"the parameter {self.parameter} reads {found} after {bucket} was written",
                hint="somebody else writes it; find out who before you try again",
            )
        return True

    def restart(self) -> None:
        """Tell every service to deploy anew; returns at once.

        :raises AwsRefused, AwsUnavailable: a service is unknown, or may not be updated.
        """
        for name in self.services:
            self._ask(
                f"restart the service {name}",
                lambda name=name: self.ecs.update_service(  # type: ignore[misc]
                    cluster=self.cluster or "default", service=name, forceNewDeployment=True
                ),
            )

    def states(self) -> list[ServiceState]:
        """Every service as it stands, in the policy's order.

        :raises AwsRefused, AwsUnavailable: a service is unknown.
        """
        found = describe_services(self.ecs, self.cluster or "default", self.services, self._ask)
        if unknown := [name for name in self.services if name not in found]:
            raise AwsRefused(
                f"the cluster {self.cluster or 'default'} has no service {', '.join(unknown)}",
                hint="correct documents.failover.cluster and services in the policy",
            )
        return [state_of(found[name]) for name in self.services]

    def _ask(self, what: str, send: Callable[[], T], /) -> T:
        return ask(
            what,
            send,
            denied="allow ssm:GetParameter and ssm:PutParameter on the parameter, and "
            "ecs:DescribeServices and ecs:UpdateService on the services, to the identity of the "
            "connection",
            connection="documents.failover.connection_id",
            hints=_HINTS,
        )
