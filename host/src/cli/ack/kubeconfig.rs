//! `herald credential-plugin get-kubeconfig`: a cluster's own kubeconfig, with tokens in place of its certificate.

use std::io::Write;

use anyhow::{Context as _, ensure};
use clap::builder::BoolishValueParser;
use serde_json::json;

use super::{Common, Version, cluster_id};
use crate::{
    cli::{Globals, given},
    kubernetes::kubeconfig::client::with_plugin,
    provider::alibaba::{Host, Region, kubeconfig::fetch},
};

/// Options of `ack-ram-tool credential-plugin get-kubeconfig`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct GetKubeconfig {
    /// How kubectl logs in.
    #[arg(short, long, value_enum, default_value_t)]
    mode: Mode,
    /// Of no use here: tokens are made when they are needed.
    #[arg(long, hide = true, value_name = "DURATION")]
    expiration: Option<String>,
    /// Of no use here: tokens are not kept there.
    #[arg(long, hide = true, value_name = "DIR")]
    credential_cache_dir: Option<String>,
    /// Take the API server's address inside the VPC.
    #[arg(long, num_args = 0..=1, require_equals = true, value_parser = BoolishValueParser::new())]
    private_address: bool,
    /// Version of the ExecCredential.
    #[arg(long, value_enum, default_value = "v1beta1")]
    api_version: Version,
    #[command(flatten)]
    common: Common,
}

/// How kubectl logs in.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Mode {
    /// By tokens that this program makes.
    #[default]
    #[value(alias = "ram-authenticator-token")]
    Token,
    /// By certificates of Container Service, which are ack-ram-tool's own to fetch.
    #[value(alias = "cert", hide = true)]
    Certificate,
}

const EXAMPLES: &str = "\
Examples:
  herald credential-plugin get-kubeconfig --cluster-id c0123456789abcdef --region-id cn-hangzhou > kubeconfig
  herald credential-plugin get-kubeconfig --cluster-id c0123456789abcdef --private-address";

/// The endpoint for whoever names no region.
const CENTRAL: &str = "cs.aliyuncs.com";

// === impl GetKubeconfig ===

impl GetKubeconfig {
    /// Writes the kubeconfig to `out`.
    ///
    /// # Errors
    ///
    /// When no cluster is named, there are no credentials, or they may not ask.
    pub fn run(&self, globals: &Globals, out: &mut impl Write) -> anyhow::Result<()> {
        ensure!(
            self.mode == Mode::Token,
            "certificates are fetched by ack-ram-tool itself: take --mode token, or that tool for this kubeconfig"
        );
        let (id, host) = (cluster_id(globals)?, self.host()?);
        let wanted = self.common.wanted(globals)?;
        let credentials = wanted.credentials()?;
        let given = fetch(&credentials, &host, id, self.private_address, crate::cli::now())?;
        let version = match self.api_version {
            Version::V1 => "v1",
            Version::V1beta1 => "v1beta1",
        };
        let fixed = ["credential-plugin", "get-token", "--cluster-id", id.as_str(), "--api-version", version];
        let mut arguments: Vec<String> = fixed.map(str::to_owned).into();
        arguments.extend(self.common.arguments(&wanted.environment)?);
        arguments.extend(["--log-level", "error"].map(str::to_owned));
        let exec = json!({
            "apiVersion": format!("client.authentication.k8s.io/{version}"),
            "command": globals.name.as_str(),
            "args": arguments,
            "provideClusterInfo": false,
            "interactiveMode": "Never",
        });
        out.write_all(with_plugin(&given, &exec)?.as_bytes())?;
        out.flush().context("the kubeconfig could not be written")
    }

    fn host(&self) -> anyhow::Result<Host> {
        if let Some(endpoint) = given(self.common.cs_endpoint.as_deref()) {
            return endpoint.parse().with_context(|| format!("--cs-endpoint {endpoint}"));
        }
        let Some(region) = given(self.common.region_id.as_deref()) else { return Ok(CENTRAL.parse()?) };
        let region: Region = region.parse().with_context(|| format!("--region-id {region}"))?;
        Ok(format!("cs.{}.aliyuncs.com", region.as_str()).parse()?)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        command: GetKubeconfig,
    }

    #[test]
    fn the_private_address_is_wanted_in_every_spelling() {
        for (words, expected) in [
            ("", false),
            ("--private-address", true),
            ("--private-address=true", true),
            ("--private-address=1", true),
            ("--private-address=F", false),
        ] {
            let arguments = std::iter::once("get-kubeconfig").chain(words.split_whitespace());
            let cli = Cli::try_parse_from(arguments).expect("good arguments");
            assert_eq!(cli.command.private_address, expected, "{words}");
        }
    }
}
