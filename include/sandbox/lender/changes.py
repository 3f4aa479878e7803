"""The queue of changes: what EventBridge passes on of the account.

One rule in the account's region sends the services' changes to the queue. IAM is in no region and
tells its changes in us-east-1; a second rule there passes them on to the bus of the first.
(Amazon EventBridge user guide, sending events between Regions.)
"""

import json

from include.sandbox.lender.account import LenderAccount
from ledgerkeep.policy.configuration import ChangeEvents

GLOBAL_REGION = "us-east-1"
_RULE = "ledgerkeep-changes"


def make_queue(account: LenderAccount, wanted: ChangeEvents) -> None:
    """Make the queue and the rules that lead to it; what is there stays."""
    region = wanted.region or account.region
    account.client("sqs", region).create_queue(QueueName=wanted.queue)
    pattern = {"detail-type": ["AWS API Call via CloudTrail", "Object Created", "Object Deleted"]}
    _pass_on(account, region, pattern, f"arn:aws:sqs:{region}:{account.id}:{wanted.queue}")
    if region != GLOBAL_REGION:
        bus = f"arn:aws:events:{region}:{account.id}:event-bus/default"
        _pass_on(account, GLOBAL_REGION, {"source": ["aws.iam"]}, bus)


def _pass_on(account: LenderAccount, region: str, pattern: object, target: str) -> None:
    events = account.client("events", region)
    events.put_rule(Name=_RULE, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=_RULE, Targets=[{"Id": "changes", "Arn": target}])
