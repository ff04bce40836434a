// The AWS SDK for JavaScript, unmodified, for the scenarios in tests/all/aws_sdk.rs.
//
//     client.cjs identity [ROLE SESSION]            GetCallerIdentity by the keys in the environment, or by a session of a role
//     client.cjs token CLUSTER [ROLE SESSION]       a token by the SDK's signer, as JavaScript clients of clusters make it
//     client.cjs presigner CLUSTER                  the same by the SDK's presigner, which adds parameters of its own
//
// Keys and region come from the environment, as the SDK reads them; AWS_ENDPOINT_URL_STS and NODE_EXTRA_CA_CERTS lead to
// the dev STS. Whatever is made is one JSON document on stdout.

const { createHash, createHmac } = require("node:crypto");
const { AssumeRoleCommand, GetCallerIdentityCommand, STSClient } = require("@aws-sdk/client-sts");
const { S3RequestPresigner } = require("@aws-sdk/s3-request-presigner");
const { HttpRequest } = require("@smithy/core/protocols");
const { SignatureV4 } = require("@smithy/signature-v4");

const region = process.env.AWS_REGION;
const sts = new STSClient({ maxAttempts: 1 });

// What both signers hash with; the SDK leaves the choice to its callers.
class Sha256 {
  constructor(secret) {
    this.hash = secret === undefined ? createHash("sha256") : createHmac("sha256", secret);
  }
  update(data) {
    this.hash.update(data);
  }
  async digest() {
    return new Uint8Array(this.hash.digest());
  }
}

async function session(role, name) {
  const answer = await sts.send(new AssumeRoleCommand({ RoleArn: role, RoleSessionName: name }));
  const { AccessKeyId, SecretAccessKey, SessionToken } = answer.Credentials;
  return { accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey, sessionToken: SessionToken };
}

const keys = (role, name) => (role === undefined ? sts.config.credentials() : session(role, name));

const identityRequest = (cluster) => {
  const hostname = `sts.${region}.amazonaws.com`;
  return new HttpRequest({
    method: "GET",
    protocol: "https:",
    hostname,
    path: "/",
    query: { Action: "GetCallerIdentity", Version: "2011-06-15" },
    headers: { host: hostname, "x-k8s-aws-id": cluster },
  });
};

function tokenOf({ protocol, hostname, path, query }) {
  const url = `${protocol}//${hostname}${path}?${new URLSearchParams(query)}`;
  return "k8s-aws-v1." + Buffer.from(url).toString("base64url");
}

const commands = {
  async identity(role, name) {
    const caller = role === undefined ? sts : new STSClient({ maxAttempts: 1, credentials: await session(role, name) });
    const { Account, Arn, UserId } = await caller.send(new GetCallerIdentityCommand({}));
    return { Account, Arn, UserId };
  },
  async token(cluster, role, name) {
    const signer = new SignatureV4({ service: "sts", region, credentials: await keys(role, name), sha256: Sha256 });
    return tokenOf(await signer.presign(identityRequest(cluster), { expiresIn: 60 }));
  },
  async presigner(cluster) {
    const signer = new S3RequestPresigner({ service: "sts", region, credentials: await keys(), sha256: Sha256 });
    const unhoistableHeaders = new Set(["x-k8s-aws-id"]);
    return tokenOf(await signer.presign(identityRequest(cluster), { expiresIn: 60, unhoistableHeaders }));
  },
};

const [command, ...words] = process.argv.slice(2);
commands[command](...words).then(
  (made) => process.stdout.write(JSON.stringify(made)),
  (refusal) => {
    process.stderr.write(`${refusal.name}: ${refusal.message}\n`);
    process.exitCode = 1;
  },
);
