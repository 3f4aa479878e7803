"""The configuration's sources in a policy: what of each is exported, and where it is.

The name of a field of `Sources` is the name of the source's module below
`ledgerkeep.configuration.sources`.
"""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ledgerkeep.policy.values import Duration, FileName, Name, PolicyModel

Family = Literal["infrastructure", "application_configuration", "integration_configuration"]
"""What a failure would need back together: the infrastructure and who may do what in it, what the
application is told, and the services of others."""


class ConfigurationSource(PolicyModel):
    """What all sources may say."""

    title: ClassVar[str] = ""
    """What a person calls it, where one is chosen."""
    family: ClassVar[Family] = "application_configuration"
    """The restore test that it belongs to."""

    connection_id: Name | None = Field(
        default=None, description="Of the service; null: configuration.connection_id."
    )
    keep: Duration | None = Field(
        default=None, description="Versions that are not older stay, however many there are."
    )

    def buckets(self) -> set[str]:
        """Buckets whose objects it exports: a change of one of them is a change of it."""
        return set()


ParameterPath = Annotated[str, Field(pattern=r"^/([A-Za-z0-9_.\-]+/)*$", max_length=900)]


class ParameterStore(ConfigurationSource):
    """Parameters of Systems Manager's Parameter Store."""

    title: ClassVar[str] = "Parameter Store"

    paths: Annotated[list[ParameterPath], Field(min_length=1)] = Field(
        description="Everything below them; each ends with a slash."
    )


SecretPrefix = Annotated[str, Field(pattern=r"^[A-Za-z0-9/_+=.@\-]+$", max_length=512)]


class SecretsManager(ConfigurationSource):
    """Secrets of Secrets Manager."""

    title: ClassVar[str] = "Secrets Manager"

    prefixes: Annotated[list[SecretPrefix], Field(min_length=1)] = Field(
        description="Every secret whose name begins with one of them."
    )
    recovery_window_days: Annotated[int, Field(ge=7, le=30)] = Field(
        default=30, description="What a recovery deletes can be restored for so many days."
    )


class EcsCluster(PolicyModel):
    """A cluster, and which of its services count."""

    name: Name
    services: list[Name] = Field(default=[], description="Empty: all of them.")


VariablePattern = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.*?\-]{1,120}$")]


class Services(ConfigurationSource):
    """Services of ECS, with their task definitions."""

    title: ClassVar[str] = "services' environment variables"

    clusters: Annotated[list[EcsCluster], Field(min_length=1)]
    secret_names: list[VariablePattern] = Field(
        default=[],
        description="Variables whose values are secret, besides those that look like it; with * "
        "and ?.",
    )
    scaled: list[Name] = Field(
        default=[],
        description="Services whose number of tasks auto scaling decides: it is not exported.",
    )
    stable_within: Duration = Field(description="A deployment that takes longer has failed.")
    poll: Annotated[Duration, Field(ge=timedelta(seconds=1))] = Field(
        default=timedelta(seconds=10), description="Between two looks at a deployment."
    )


RepositoryName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
RepositoryUrl = Annotated[
    str,
    Field(pattern=r"^(https|ssh|file|http)://[^\s@]*(@[^\s@]+)?$|^[\w.-]+@[\w.-]+:[^\s-]\S*$"),
]


class InfrastructureRepository(PolicyModel):
    """A git repository."""

    name: RepositoryName = Field(description="As items and messages call it; unique.")
    url: RepositoryUrl = Field(description="As git clones it; never with a password in it.")
    host: Literal["github", "none"] = Field(
        default="none", description="Whose API tells of branch protection; none: nobody's."
    )
    connection_id: Name | None = Field(
        default=None,
        description="Its password is a token; or its extra key_file the path of an SSH key on the "
        "worker. Its host is the API's address. Null: repositories.connection_id.",
    )


class RequiredProtection(PolicyModel):
    """What the protection of a default branch must say; less is a finding."""

    approving_reviews: Annotated[int, Field(ge=0, le=6)] = Field(
        default=1, description="Of a pull request, before it is merged."
    )
    status_checks: bool = Field(default=True, description="Some have to pass before a merge.")
    enforce_admins: bool = Field(default=True, description="It holds for administrators too.")


class Repositories(ConfigurationSource):
    """Repositories of infrastructure code, whole."""

    title: ClassVar[str] = "infrastructure repositories"
    family: ClassVar[Family] = "infrastructure"

    connection_id: Name | None = Field(
        default=None, description="Of repositories that name none; null: without credentials."
    )
    repositories: Annotated[list[InfrastructureRepository], Field(min_length=1)]
    release_tags: Name | None = Field(
        default=None,
        description="Pattern of releases' tags, such as v*: there are some, annotated, that never "
        "move. Null: not looked at.",
    )
    protection: RequiredProtection | None = Field(
        default=RequiredProtection(), description="Null: not looked at."
    )
    patience: Duration = Field(
        default=timedelta(minutes=15), description="Longest that one run of git may take."
    )


StateKey = Annotated[str, Field(pattern=r"^[^/\s][^\s]*$", max_length=900)]


class StatePlan(PolicyModel):
    """Where `terraform plan` verifies a state after a recovery."""

    key: StateKey = Field(description="Of the state.")
    directory: Path = Field(description="Of the code, on the worker.")
    workspace: Name = "default"
    variable_files: list[str] = Field(default=[], description="Relative to the directory.")


class TerraformState(ConfigurationSource):
    """State files of Terraform's s3 backend."""

    title: ClassVar[str] = "Terraform state"
    family: ClassVar[Family] = "infrastructure"

    bucket: Name
    region: Name | None = Field(default=None, description="Null: configuration.region.")
    prefixes: list[Annotated[str, Field(max_length=900)]] = Field(
        default=[], description="Everything below them that ends in .tfstate; '' is the bucket."
    )
    keys: list[StateKey] = Field(default=[], description="States, however they are named.")
    lock_table: Name | None = Field(
        default=None, description="DynamoDB table, as the backend's dynamodb_table."
    )
    lock_file: bool = Field(
        default=False, description="Lock beside the state, as the backend's use_lockfile."
    )
    plans: list[StatePlan] = []
    patience: Duration = Field(
        default=timedelta(minutes=15), description="Longest that one run of terraform may take."
    )

    def buckets(self) -> set[str]:
        """See `ConfigurationSource.buckets`."""
        return {self.bucket}


IamPath = Annotated[str, Field(pattern=r"^/([\x21-\x7e]*/)?$", max_length=512)]


class Iam(ConfigurationSource):
    """Roles, policies, groups, users and instance profiles of an account."""

    title: ClassVar[str] = "IAM: roles, policies, what is attached to what"
    family: ClassVar[Family] = "infrastructure"

    paths: Annotated[list[IamPath], Field(min_length=1)] = Field(
        default=["/"], description="Everything at them and below; each ends with a slash."
    )
    names: Annotated[list[Name], Field(min_length=1)] = Field(
        default=["*"], description="Patterns, as of files in a shell: what matches one of them."
    )
    account_settings: bool = Field(
        default=True,
        description="Also identity providers, the password policy and the account's alias.",
    )


VpcId = Annotated[str, Field(pattern=r"^vpc-[0-9a-f]+$")]
AliasPrefix = Annotated[str, Field(pattern=r"^alias/[A-Za-z0-9/_-]*$", max_length=256)]
WafName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{0,128}$")]


class SecurityGroups(ConfigurationSource):
    """Security groups of EC2, with all their rules; without tags and VPCs, all of the region."""

    title: ClassVar[str] = "security groups and their rules"
    family: ClassVar[Family] = "infrastructure"

    tags: dict[Name, Name] = Field(
        default={}, description="Only groups that have all of these tags; * stands for anything."
    )
    vpc_ids: Annotated[list[VpcId], Field(max_length=200)] = Field(
        default=[], description="Only groups of these VPCs; empty: of all."
    )


class KmsKeys(ConfigurationSource):
    """Settings of customer-managed keys; without aliases and tags, of all in the region."""

    title: ClassVar[str] = "KMS: keys' settings, never their material"
    family: ClassVar[Family] = "infrastructure"

    aliases: list[AliasPrefix] = Field(
        default=[], description="Keys that have an alias that begins with one of these."
    )
    tags: dict[Name, Name] = Field(
        default={}, description="Keys that have all of these tags, whatever their aliases."
    )
    test_keys: Annotated[int, Field(ge=0, le=100)] = Field(
        default=25,
        description="A restore test makes no more keys than this; each costs until its deletion "
        "is scheduled, and stays seven days more. 0: it makes none.",
    )


class WebFirewall(ConfigurationSource):
    """Web ACLs of WAF, and what they are made of."""

    title: ClassVar[str] = "WAF: web ACLs, IP sets, rule groups"
    family: ClassVar[Family] = "infrastructure"

    scopes: Annotated[list[Literal["REGIONAL", "CLOUDFRONT"]], Field(min_length=1)] = Field(
        default=["REGIONAL"], description="CLOUDFRONT is read in us-east-1, where WAF keeps it."
    )
    name_prefix: WafName = Field(
        default="", description="Only what has a name that begins so; empty: everything."
    )


class ManagementApiSource(ConfigurationSource):
    """A service that is not AWS, by its management API."""

    connection_id: Name = Field(description="Its address and credentials.")
    test_connection_id: Name | None = Field(
        default=None,
        description="Of a tenant of its own for restore tests; null: there is none, and no test.",
    )
    patience: Duration = Field(
        default=timedelta(minutes=5), description="A busy service is waited for no longer."
    )


class Auth0Tenant(ManagementApiSource):
    """A tenant of Auth0; login and password are an application's client id and secret."""

    title: ClassVar[str] = "Auth0: the tenant's settings"
    family: ClassVar[Family] = "integration_configuration"


class DocusignAccount(ManagementApiSource):
    """An account of DocuSign; login is an integration key, the password its private RSA key."""

    title: ClassVar[str] = "DocuSign: the account's settings"
    family: ClassVar[Family] = "integration_configuration"


class SendgridAccount(ManagementApiSource):
    """An account of SendGrid; the password is an API key."""

    title: ClassVar[str] = "SendGrid: templates and settings"
    family: ClassVar[Family] = "integration_configuration"


FilePattern = Annotated[str, Field(min_length=1, max_length=200)]


class FilesInBucket(PolicyModel):
    """Files below a prefix of a bucket."""

    name: FileName = Field(description="Their keys begin with it; unique.")
    bucket: Name
    prefix: Annotated[str, Field(pattern=r"^([^/].*/)?$", max_length=900)] = Field(
        default="", description="Ends with a slash; '' is the bucket."
    )
    region: Name | None = Field(default=None, description="Null: configuration.region.")


class FilesInDirectory(PolicyModel):
    """Files below a directory on the worker; symbolic links are not followed."""

    name: FileName = Field(description="Their keys begin with it; unique.")
    directory: Annotated[str, Field(pattern=r"^/.+$")]


class ConfigurationFiles(ConfigurationSource):
    """Configuration files, in buckets and on the worker."""

    title: ClassVar[str] = "configuration files"

    in_buckets: list[FilesInBucket] = []
    in_directories: list[FilesInDirectory] = []
    include: Annotated[list[FilePattern], Field(min_length=1)] = Field(
        default=["*"],
        description="Of their path below the place, or of their name; * stands for slashes, too.",
    )
    secret: list[FilePattern] = Field(
        default=["*.env", ".env*", "*.pem", "*.key", "*.p12", "*.jks", "*secret*", "*credential*"],
        description="Files whose whole content is a secret; patterns as for include.",
    )
    largest_kib: Annotated[int, Field(ge=1, le=10_240)] = Field(
        default=256, description="A larger file is no configuration, and refused."
    )

    def buckets(self) -> set[str]:
        """See `ConfigurationSource.buckets`."""
        return {place.bucket for place in self.in_buckets}


class ManualSettings(ConfigurationSource):
    """The register of what no program can set."""

    title: ClassVar[str] = "the register of manual settings"

    file: FileName = Field(description="{file}.yaml in the worker's directory of registers.")


class Sources(PolicyModel):
    """What is exported; a missing source is not."""

    parameters: ParameterStore | None = None
    repositories: Repositories | None = None
    terraform_state: TerraformState | None = None
    secrets: SecretsManager | None = None
    services: Services | None = None
    iam: Iam | None = None
    security_groups: SecurityGroups | None = None
    kms: KmsKeys | None = None
    waf: WebFirewall | None = None
    auth0: Auth0Tenant | None = None
    docusign: DocusignAccount | None = None
    sendgrid: SendgridAccount | None = None
    files: ConfigurationFiles | None = None
    manual_settings: ManualSettings | None = None
