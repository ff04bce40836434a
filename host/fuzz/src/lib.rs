//! What several fuzz targets have in common: a provider of each cloud for one cluster, a call and an answer to it, a
//! second reader of queries that knows nothing of ours, and a folder.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use herald::provider::{
    SecretText, StsCall, StsReply,
    alibaba::{self, Alibaba},
    aws::{self, Aws, Partition},
};
use http::Method;
use percent_encoding::percent_decode_str;

/// The cluster that every token is for.
pub const CLUSTER: &str = "test-cluster";
/// The global endpoint of Alibaba Cloud.
pub const ALIBABA_HOST: &str = "sts.aliyuncs.com";
/// An endpoint that an operator has added, and its region.
pub const EXTRA_HOST: &str = "vpce-0a1b.sts.us-east-1.vpce.amazonaws.com";
/// See [`EXTRA_HOST`].
pub const EXTRA_REGION: &str = "us-east-1";

/// When the call was signed that an answer is read for: 2026-01-02T03:10:00Z.
const SIGNED_AT: Duration = Duration::from_secs(1_767_323_400);

/// The provider of a partition of AWS, with [`EXTRA_HOST`] beside its own.
#[must_use]
pub fn aws(partition: Partition) -> Aws {
    let cluster_id = CLUSTER.parse().expect("a good id");
    let extra = serde_json::json!([{ "host": EXTRA_HOST, "region": EXTRA_REGION }]);
    Aws::new(aws::Config { cluster_id, partition, hosts: serde_json::from_value(extra).expect("a good host") })
}

/// The provider of Alibaba Cloud that asks an endpoint.
#[must_use]
pub fn alibaba(endpoint: &str) -> Alibaba {
    Alibaba::new(alibaba::Config {
        cluster_id: CLUSTER.parse().expect("a good id"),
        former_cluster_ids: Vec::new(),
        endpoint: endpoint.parse().expect("a good host"),
        region: None,
    })
}

/// A call of `host` by `access_key_id`, as an answer is read for it.
#[must_use]
pub fn call(host: &str, method: Method, access_key_id: &str) -> StsCall {
    let signed_at = SystemTime::UNIX_EPOCH + SIGNED_AT;
    StsCall {
        host: host.to_owned(),
        region: String::new(),
        method,
        path_and_query: SecretText::new("/".to_owned()),
        headers: Vec::new(),
        access_key_id: access_key_id.to_owned(),
        signed_at,
        expires_at: signed_at + Duration::from_secs(900),
    }
}

/// An answer: the first two bytes choose the status, the rest is the body.
#[must_use]
pub fn reply(bytes: &[u8]) -> Option<StsReply> {
    let (head, body) = bytes.split_at_checked(2)?;
    Some(StsReply {
        status: 100 + u16::from_be_bytes([head[0], head[1]]) % 500,
        content_type: Some("application/json".to_owned()),
        retry_after: None,
        body: body.to_vec().into(),
    })
}

/// What a query says, in no order: names in lower case, values decoded.
#[must_use]
pub fn pairs(query: &str) -> Vec<(String, Vec<u8>)> {
    let pair = |text: &str| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        (name.to_ascii_lowercase(), percent_decode_str(value).collect())
    };
    let mut pairs: Vec<_> = query.split('&').map(pair).collect();
    pairs.sort();
    pairs
}

static SCRATCH: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("herald-fuzz-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder for temporary files");
    folder
});

/// The folder for files of this process.
#[must_use]
pub fn scratch() -> &'static Path {
    &SCRATCH
}
