"""What a refusal of AWS is taken for: waiting helps, a permission is missing, or neither."""

import pytest
from botocore.exceptions import ClientError

from ledgerkeep.aws import ask
from ledgerkeep.errors import AwsRefused, AwsUnavailable


def refused(code: str, status: int) -> AwsRefused:
    def send() -> None:
        raise ClientError(
            {
                "Error": {"Code": code, "Message": "because"},
                "ResponseMetadata": {"HTTPStatusCode": status},  # type: ignore[typeddict-item]
            },
            "Read",
        )

    with pytest.raises(AwsRefused) as caught:
        ask("read it", send, denied="allow it", connection="c")
    return caught.value


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("TooManyUpdates", 400),
        ("RequestThrottled", 403),
        ("ProvisionedThroughputExceededException", 400),
        ("SlowDown", 503),
        ("ServiceFailure", 500),
        ("Unavailable", 503),
        ("DependencyTimeoutException", 503),
    ],
)
def test_what_passes_by_itself_is_tried_again(code: str, status: int) -> None:
    problem = refused(code, status)
    assert isinstance(problem, AwsUnavailable)
    assert problem.message == f"aws was too busy to read it ({code})"
    assert problem.hint == "nothing was changed; it is tried again"


@pytest.mark.parametrize("code", ["AccessDenied", "AuthFailure", "403", "SignatureDoesNotMatch"])
def test_who_may_not_is_told_what_to_allow(code: str) -> None:
    problem = refused(code, 403)
    assert not isinstance(problem, AwsUnavailable)
    assert (problem.message, problem.hint) == (f"aws refused to read it ({code})", "allow it")


def test_any_other_refusal_is_told_in_the_words_of_aws() -> None:
    assert refused("LimitExceededException", 400).hint == "because"
