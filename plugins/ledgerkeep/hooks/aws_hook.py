"""The Amazon provider's hook, whose sessions share what boto3 knows of AWS' services."""

from typing import TYPE_CHECKING

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook

from ledgerkeep.storage.session import sharing

if TYPE_CHECKING:
    import boto3


class AwsHook(AwsBaseHook):
    """An AWS connection of Airflow: its identity, role, profile and endpoints."""

    def get_session(
        self, region_name: str | None = None, deferrable: bool = False
    ) -> "boto3.Session":
        """A session of boto3 with the connection's identity."""
        return sharing(super().get_session(region_name, deferrable))

    def _get_caller(self, target_function_name: str = "execute") -> str:
        """For the user agent: the provider finds it by reading the source of the whole stack."""
        return "Ledgerkeep"
