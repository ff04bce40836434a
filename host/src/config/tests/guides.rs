//! Documents of existing guides, as they are written, and files that serve server and client.

use expect_test::expect;

use super::*;

const KOPS_EXAMPLE: &str = "
clusterID: authenticator.abcdefghij.k8s.local
server:
  mapRoles:
  - roleARN: arn:aws:iam::123456789012:role/KubernetesAdmin
    username: kubernetes-admin
    groups:
    - system:masters
";

const ACK_EXAMPLE: &str = "
# a unique-per-cluster identifier to prevent replay attacks (see above)
clusterID: my-dev-cluster.example.com

# default RAM role to assume for `ack-ram-authenticator token`
defaultRole: acs:ram::000000000000:role/KubernetesAdmin

# server listener configuration
server:
  # localhost port where the server will serve the /authenticate endpoint
  port: 21362 # (default)

  # state directory for generated TLS certificate and private keys
  stateDir: /var/ack-ram-authenticator # (default)

  # output `path` where a generated webhook kubeconfig will be stored.
  generateKubeconfig: /etc/kubernetes/ack-ram-authenticator.kubeconfig # (default)

  # each mapRoles entry maps an RAM role to a username and set of groups
  # Each username and group can optionally contain template parameters:
  #  1) \"{{AccountID}}\" is the 16 digit ID.
  #  2) \"{{SessionName}}\" is the role session name.
  mapRoles:
  # statically map acs:ram::000000000000:role/KubernetesAdmin to cluster admin
  - roleARN: acs:ram::000000000000:role/KubernetesAdmin
    username: kubernetes-admin
    groups:
    - system:masters

  # each mapUsers entry maps an RAM role to a static username and set of groups
  mapUsers:
  # map user RAM user Alice in 000000000000 to user \"alice\" in group \"system:masters\"
  - userARN: acs:ram::000000000000:user/Alice
    username: alice
    groups:
    - system:masters
";

/// The mappings of seed S2-9, as the file has them.
const EXTENDED_EXAMPLE: &str = "
clusterID: c
server:
  mapRoles:
  - rolearn: arn:aws:iam::123456789012:role/WorkerNodes
    username: system:node:{{EC2PrivateDNSName}}
    groups:
    - system:bootstrappers
    - system:nodes
  - rolearn: arn:aws:iam::123456789012:role/Lambda
    username: lambda
    groups:
    - system:masters
  mapUsers:
  - userarn: arn:aws:iam::123456789012:user/ops/admin
    username: user
    groups:
    - system:masters
";

#[test]
fn the_documents_of_existing_guides_load() {
    says(KOPS_EXAMPLE, &expect![""]);
    maps(
        KOPS_EXAMPLE,
        "arn:aws:sts::123456789012:assumed-role/KubernetesAdmin/alice",
        "kubernetes-admin [system:masters]",
    );
    says(ACK_EXAMPLE, &expect![""]);
    maps(ACK_EXAMPLE, "acs:ram::000000000000:assumed-role/KubernetesAdmin/a", "kubernetes-admin [system:masters]");
    maps(ACK_EXAMPLE, "acs:ram::000000000000:user/alice", "alice [system:masters]");
    says(EXTENDED_EXAMPLE, &expect![""]);
    maps(
        EXTENDED_EXAMPLE,
        "arn:aws:sts::123456789012:assumed-role/WorkerNodes/i-0123456789abcdef0",
        "the mapping's template does not fit this caller: {{EC2PrivateDNSName}} asks for the name of a node, which has not been looked up",
    );
    maps(EXTENDED_EXAMPLE, "arn:aws:sts::123456789012:assumed-role/Lambda/a", "lambda [system:masters]");
    maps(EXTENDED_EXAMPLE, "arn:aws:iam::123456789012:user/ops/admin", "user [system:masters]");
}

#[test]
fn one_file_serves_server_and_client() {
    let config = parse(ACK_EXAMPLE).expect("it loads").config;
    assert_eq!(config.cluster_id.expect("given").as_str(), "my-dev-cluster.example.com");
    assert_eq!(config.client.role.as_deref(), Some("acs:ram::000000000000:role/KubernetesAdmin"));
    assert_eq!(config.server.port, 21362);
    assert_eq!(config.server.state_dir, Path::new("/var/ack-ram-authenticator"));
    assert_eq!(config.server.generate_kubeconfig, Path::new("/etc/kubernetes/ack-ram-authenticator.kubeconfig"));
    assert_eq!(config.sources, [Source::MountedFile]);
    let text = "{role: r, region: eu-west-1, externalID: x, sessionName: s, tokenOnly: true, cache: true, log-verbosity: debug}";
    let client = parse(text).expect("JSON and flow style are YAML").config.client;
    let expected = ClientSection {
        role: Some("r".into()),
        region: Some("eu-west-1".into()),
        external_id: Some("x".into()),
        session_name: Some("s".into()),
        token_only: true,
        cache: true,
        log_verbosity: "debug".parse().ok(),
        ..ClientSection::default()
    };
    assert_eq!(client, expected);
}

#[test]
fn an_empty_file_is_the_defaults() {
    for text in ["", "# nothing\n", "server:\n", "server: {mapRoles: , mapUsers: [], mapAccounts: }"] {
        says(text, &expect![""]);
        assert_eq!(parse(text).expect("it loads").config.sources, [Source::MountedFile]);
    }
}
