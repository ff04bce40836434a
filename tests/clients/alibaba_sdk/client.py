"""Alibaba Cloud's own SDK of STS, unmodified, for the scenarios in tests/all/alibaba_sdk.rs.

    client.py identity [ROLE SESSION]   GetCallerIdentity by the keys in the environment, or by a session of a role
    client.py token REQUESTS            tokens of requests, a list in JSON, each signed by the SDK's signer
    client.py request CLUSTER HOST      a token of the request that the SDK itself sends to HOST

Keys come from the environment, as the SDK reads them; HTTPS_PROXY and SSL_CERT_FILE lead to the dev STS. Whatever is
made is one JSON document on stdout.
"""

import base64
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qsl, urlsplit

from alibabacloud_credentials.client import Client as Credentials
from alibabacloud_sts20150401.client import Client
from alibabacloud_sts20150401.models import AssumeRoleRequest
from alibabacloud_tea_openapi.utils import Utils
from alibabacloud_tea_openapi.utils_models import Config
from darabonba.exceptions import DaraException
from darabonba.request import DaraRequest
from darabonba.policy.retry import RetryOptions
from darabonba.runtime import ExtendsParameters, RuntimeOptions

EMPTY_BODY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def client(**settings):
    """A client that says at once what is wrong, instead of trying again."""
    return Client(Config(ca=os.environ.get("SSL_CERT_FILE"), retry_options=RetryOptions({"retryable": False}), **settings))


def identity(role=None, session=None):
    host = "sts.cn-hangzhou.aliyuncs.com"
    sts = client(credential=Credentials(), endpoint=host)
    if role is not None:
        keys = sts.assume_role(AssumeRoleRequest(role_arn=role, role_session_name=session)).body.credentials
        sts = client(
            access_key_id=keys.access_key_id,
            access_key_secret=keys.access_key_secret,
            security_token=keys.security_token,
            endpoint=host,
        )
    return sts.get_caller_identity().body.to_map()


def token_of(method, path, query, headers):
    members = {
        "clusterId": query.get("ACKClusterId", ""),
        "method": method,
        "path": path,
        "query": query,
        "headers": headers,
    }
    return "k8s-ack-v2." + base64.b64encode(json.dumps(members).encode()).decode()


def token(wanted):
    """The token of one request. What `wanted` does not name is as it should be; a header that is null is left out."""
    keys = Credentials().get_credential()
    signed = DaraRequest()
    signed.method = wanted.get("method", "POST")
    signed.pathname = wanted.get("path", "/")
    signed.query = wanted["query"]
    headers = {
        "x-acs-action": "GetCallerIdentity",
        "x-acs-content-sha256": EMPTY_BODY,
        "x-acs-date": Utils.get_timestamp(),
        "x-acs-version": "2015-04-01",
    }
    if keys.security_token:
        headers["x-acs-security-token"] = keys.security_token
    headers.update(wanted.get("headers", {}))
    signed.headers = {name: value for name, value in headers.items() if value is not None}
    algorithm = wanted.get("algorithm", "ACS3-HMAC-SHA256")
    payload = headers["x-acs-content-sha256"] or EMPTY_BODY
    authorization = Utils.get_authorization(signed, algorithm, payload, keys.access_key_id, keys.access_key_secret)
    sent = {"Authorization": authorization, "user-agent": Utils.get_user_agent(None), **signed.headers}
    return token_of(signed.method, signed.pathname, signed.query, sent)


def request(cluster, host):
    """What the SDK sends for GetCallerIdentity with the cluster's id among its parameters, seen by a proxy."""
    seen = []

    class Proxy(BaseHTTPRequestHandler):
        def do_POST(self):
            seen.append((self.command, self.path, dict(self.headers.items())))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    proxy = HTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    sts = client(
        credential=Credentials(),
        endpoint=host,
        protocol="http",
        http_proxy="http://127.0.0.1:%d" % proxy.server_port,
    )
    runtime = RuntimeOptions(extends_parameters=ExtendsParameters(queries={"ACKClusterId": cluster}))
    sts.get_caller_identity_with_options(runtime)
    proxy.shutdown()
    proxy.server_close()
    [(method, target, headers)] = seen
    url = urlsplit(target)
    headers = {name.lower(): value for name, value in headers.items()}
    authorization = headers["authorization"]
    signed = authorization.split("SignedHeaders=")[1].split(",")[0].split(";")
    headers = {"Authorization": authorization, **{name: headers[name] for name in signed}}
    return token_of(method, url.path, dict(parse_qsl(url.query)), headers)


def tokens(requests):
    return [token(wanted) for wanted in json.loads(requests)]


def main(command, *arguments):
    return {"identity": identity, "request": request, "token": tokens}[command](*arguments)


if __name__ == "__main__":
    try:
        json.dump(main(*sys.argv[1:]), sys.stdout)
    except DaraException as refusal:
        sys.exit("%s: %s" % (getattr(refusal, "code", type(refusal).__name__), refusal.message))
