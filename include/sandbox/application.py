"""The application as AWS knows it: the parameter that names its bucket, and its services.

There is no application in the sandbox, only what a failover touches of it, on the AWS stand-in.
The stand-in keeps nothing on disk, so this is made anew with every start of it; the application
then uses the primary. What is there already stays as it is.
"""

from collections.abc import Iterable
from typing import Any

import boto3

from ledgerkeep.policy.documents import DocumentFailover
from ledgerkeep.policy.model import Policy

_TASKS = 2


def make_applications(url: str, policies: Iterable[Policy]) -> None:
    """Make the parameter, the cluster and the services of every policy that can fail over.

    :param url: of the AWS stand-in.
    """
    for policy in policies:
        documents = policy.documents
        if documents and documents.failover:
            _make(url, documents.failover, documents.bucket)


def client(url: str, service: Any, region: str) -> Any:
    """A client of the AWS stand-in, which asks nobody who they are."""
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=region,
        aws_access_key_id="sandbox",
        aws_secret_access_key="sandbox",
    )


def _make(url: str, failover: DocumentFailover, bucket: str) -> None:
    ssm = client(url, "ssm", failover.region)
    if ssm.get_parameters(Names=[failover.parameter])["Parameters"]:
        return
    ecs = client(url, "ecs", failover.region)
    cluster = failover.cluster or "default"
    ecs.create_cluster(clusterName=cluster)
    for name in failover.services:
        ecs.register_task_definition(
            family=name, containerDefinitions=[{"name": "app", "image": "app", "memory": 64}]
        )
        ecs.create_service(cluster=cluster, serviceName=name, taskDefinition=name)
        # The stand-in runs tasks only once it is told of another number than at first.
        ecs.update_service(cluster=cluster, service=name, desiredCount=_TASKS)
    # Last: with it, all the rest is there.
    ssm.put_parameter(Name=failover.parameter, Value=bucket, Type="String")
