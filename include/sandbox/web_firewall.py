"""What moto does not answer about WAF: which resources a web ACL protects.

It keeps the associations it is told of and has no ListResourcesForWebACL; it also lets a resource
have two web ACLs, which in AWS is one at most (AssociateWebACL).
"""

import json
from typing import Any

from moto.wafv2.models import WAFV2Backend
from moto.wafv2.responses import WAFV2Response

_IN_ARN = {
    "APPLICATION_LOAD_BALANCER": ":elasticloadbalancing:",
    "API_GATEWAY": ":apigateway:",
    "APPSYNC": ":appsync:",
    "COGNITO_USER_POOL": ":cognito-idp:",
    "APP_RUNNER_SERVICE": ":apprunner:",
    "VERIFIED_ACCESS_INSTANCE": ":verified-access-instance/",
    "AMPLIFY": ":amplify:",
    "AGENTCORE_GATEWAY": ":bedrock-agentcore:",
}


def complete_moto() -> None:
    """Let moto answer it, in this process."""
    WAFV2Response.list_resources_for_web_acl = _list_resources  # type: ignore[attr-defined]
    WAFV2Backend.associate_web_acl = _associate  # type: ignore[method-assign]


def _list_resources(response: WAFV2Response) -> str:
    request = json.loads(response.body)
    arn = request["WebACLArn"]
    if ":global/" in arn:
        response.region = "global"
    acl = response.wafv2_backend.get_web_acl(arn, None, None)
    kind = _IN_ARN[request.get("ResourceType", "APPLICATION_LOAD_BALANCER")]
    return json.dumps({"ResourceArns": [one for one in acl.associated_resources if kind in one]})


_one_more: Any = WAFV2Backend.associate_web_acl


def _associate(backend: WAFV2Backend, web_acl_arn: str, resource_arn: str) -> None:
    backend.disassociate_web_acl(resource_arn)
    _one_more(backend, web_acl_arn, resource_arn)
