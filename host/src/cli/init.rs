//! `herald init`: makes the server's certificate, its key and the webhook kubeconfig beforehand.

use std::{
    io::Write,
    net::IpAddr,
    path::{Path, PathBuf},
    time::SystemTime,
};

use self::owner::{Belongings, Owner};
use super::{
    Globals,
    called::{FeatureGate, Name},
};
use crate::{
    config::Config,
    server::{
        self, Hostname,
        certificate::{Validity, keeper, trust},
    },
};

mod emit;
mod owner;
mod static_pod;

const EXAMPLES: &str = "\
Examples:
  herald init -i my-cluster
  herald init --config herald.yaml --hostname webhook.example.com
  herald init --config herald.yaml --rotate
  herald init -i my-cluster --emit daemonset > herald.yaml";

/// Make the certificate, its key and the webhook kubeconfig before the server runs.
///
/// Writes `cert.pem`, `key.pem` and a kubeconfig that is called as this program is (`herald.kubeconfig`) into the
/// working directory, or where the options say. A pair that is there already is kept.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Command {
    /// Name under which the API server reaches the webhook; one of the certificate's names.
    #[arg(long)]
    hostname: Option<Hostname>,
    /// IP address the server will listen on; one of the certificate's names.
    #[arg(long)]
    address: Option<IpAddr>,
    /// Folder for `cert.pem` and `key.pem` [default: the working directory].
    #[arg(long)]
    state_dir: Option<PathBuf>,
    /// Where to write the webhook kubeconfig [default: herald.kubeconfig, or of the old name that Herald is called by, in the
    /// working directory].
    #[arg(long)]
    generate_kubeconfig: Option<PathBuf>,
    /// Make the next step to a new certificate instead. Where the server's own authority vouches for the pair, a new
    /// certificate; else such an authority, which the kubeconfig then trusts beside the pair: restart the API servers,
    /// and call this once more. A server that runs takes the new certificate up by itself.
    #[arg(long)]
    rotate: bool,
    /// Give all that Herald keeps there to this user, and the folders that are named or made, as an init container that
    /// is root does. What another user has compiled there is removed, and compiled again. Without it, what root makes
    /// belongs to whom the folder belongs to.
    #[arg(long, value_name = "UID:GID")]
    owner: Option<Owner>,
    /// Make the folders alone, in their final places, and give them to the owner with all that Herald keeps there: the server
    /// then makes its files by itself.
    #[arg(long, requires = "owner", conflicts_with_all = ["rotate", "patch_static_pod"])]
    folders: bool,
    /// Print a file for a cluster's set-up instead, with your values and places in it; no file is made.
    #[arg(long, value_enum, value_name = "WHAT", conflicts_with_all = ["rotate", "owner", "folders", "patch_static_pod"])]
    emit: Option<emit::What>,
    #[command(flatten)]
    values: emit::Values,
    /// Make the files in their final places, then put the flag and the mount into this manifest of an API server, once.
    /// The manifest before is kept beside the kubeconfig.
    #[arg(long, value_name = "FILE", conflicts_with = "rotate")]
    patch_static_pod: Option<PathBuf>,
    /// Take the flag and the mount out of the manifest again, also those for another kubeconfig, and make no files.
    #[arg(long, requires = "patch_static_pod", conflicts_with = "owner")]
    undo: bool,
}

// === impl Command ===

impl Command {
    /// Writes the files and tells what to do with them.
    ///
    /// # Errors
    ///
    /// Any [`server::Error`].
    pub fn run(&self, config: &Config, globals: &Globals, now: SystemTime, out: &mut impl Write) -> anyhow::Result<()> {
        if let Some(what) = self.emit {
            let mut config = config.clone();
            self.apply(&mut config.server, globals.name, true);
            return Ok(out.write_all(self.values.render(what, &config, globals.name)?.as_bytes())?);
        }
        let configured =
            FeatureGate::configured_init(&globals.feature_gates) || self.patch_static_pod.is_some() || self.folders;
        let mut places = config.server.clone();
        self.apply(&mut places, globals.name, configured);
        if let (Some(manifest), true) = (&self.patch_static_pod, self.undo) {
            return static_pod::undo(manifest, &places.generate_kubeconfig, out);
        }
        if self.folders {
            return self.make_folders(&places, out);
        }
        let cluster_id = super::cluster_id(config)?.as_str();
        self.make(config.server.clone(), (cluster_id, globals, configured), now, out)?;
        match &self.patch_static_pod {
            Some(manifest) => static_pod::patch(manifest, &places.generate_kubeconfig, out),
            None => Ok(()),
        }
    }

    /// `configured`: places that no option gives are the configuration's, not the working directory.
    fn make(
        &self,
        mut config: server::Config,
        (cluster_id, globals, configured): (&str, &Globals, bool),
        now: SystemTime,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        let final_places = (config.state_dir.clone(), config.generate_kubeconfig.clone());
        self.apply(&mut config, globals.name, configured);
        let belongings = Belongings::of(&config, configured || self.state_dir.is_some());
        let give = || self.owner.map_or(Ok(()), |owner| belongings.give(owner));
        if self.rotate {
            let rotated = keeper::rotate(&config, now)?;
            let validity = server::Served::new(&server::load_certificate(&config, now)?)?.validity();
            give()?;
            return Ok(tell(rotated, validity, &config, out)?);
        }
        let pair = server::load_certificate(&config, now)?;
        // A server that has been here may have an authority, and API servers trust that.
        let bundle = keeper::bundle(&config.state_dir, &pair, None).map_err(server::Error::from)?;
        server::write_kubeconfig(&config, &bundle, &config.generate_kubeconfig)?;
        if let Some(distrust) = trust::of_config(&config, now) {
            let path = config.generate_kubeconfig.display();
            tracing::warn!(reason = distrust.reason(), %path, "API servers will not trust this server: {distrust}");
        }
        give()?;
        let in_place = self.patch_static_pod.is_some();
        let server = self.server(cluster_id, globals);
        let report = Report { made: pair.is_new(), config: &config, final_places, server, in_place };
        Ok(report.print(out)?)
    }

    /// How to start the server that the files are for.
    fn server(&self, cluster_id: &str, globals: &Globals) -> String {
        let mut words = vec![format!("{} server", globals.name.as_str())];
        words.extend(globals.config.as_ref().map(|file| format!("--config {}", file.display())));
        words.push(format!("-i {cluster_id}"));
        words.extend(self.address.map(|address| format!("--address {address}")));
        words.push("--kubeconfig-pregenerated".to_owned());
        words.join(" ")
    }

    fn make_folders(&self, places: &server::Config, out: &mut impl Write) -> anyhow::Result<()> {
        let belongings = Belongings::of(places, true);
        server::make_folders(places)?;
        self.owner.map_or(Ok(()), |owner| belongings.give(owner))?;
        for folder in [Some(places.state_dir.as_path()), places.generate_kubeconfig.parent()].into_iter().flatten() {
            writeln!(out, "{} is there", folder.display())?;
        }
        Ok(())
    }

    fn apply(&self, config: &mut server::Config, name: Name, configured: bool) {
        if let Some(hostname) = &self.hostname {
            config.hostname = hostname.clone();
        }
        config.address = self.address.unwrap_or(config.address);
        if !configured {
            config.state_dir = ".".into();
            config.generate_kubeconfig = format!("{}.kubeconfig", name.as_str()).into();
        }
        if let Some(folder) = &self.state_dir {
            config.state_dir.clone_from(folder);
        }
        if let Some(file) = &self.generate_kubeconfig {
            config.generate_kubeconfig.clone_from(file);
        }
    }
}

/// What a rotation did, and what is left to do.
fn tell(
    rotated: server::Rotated,
    validity: Option<Validity>,
    config: &server::Config,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let kubeconfig = plain(&config.generate_kubeconfig);
    match rotated {
        server::Rotated::Renewed => {
            let end = validity.map(|validity| humantime::format_rfc3339_seconds(validity.end));
            let until = end.map_or_else(String::new, |end| format!(", good until {end}"));
            writeln!(out, "wrote {}{until}", plain(&config.state_dir.join(server::certificate::CERTIFICATE)))?;
            writeln!(out, "A server that runs takes it up within seconds; API servers need no restart.")?;
            let files = format!("{} and {}", server::certificate::AUTHORITY, server::certificate::AUTHORITY_KEY);
            writeln!(
                out,
                "One with {files} in its state directory renews it by itself; for any other, run this command again before the end."
            )?;
        }
        server::Rotated::Staged => {
            writeln!(out, "wrote {}", plain(&config.state_dir.join(server::certificate::AUTHORITY)))?;
            writeln!(out, "wrote {kubeconfig}, which trusts it and the certificate in force")?;
            writeln!(out, "Put that file before each API server and restart them, then run this command once more.")?;
        }
    }
    Ok(())
}

/// What was done, and what is left to do.
struct Report<'a> {
    made: bool,
    config: &'a server::Config,
    /// State directory and kubeconfig as the server will look for them.
    final_places: (PathBuf, PathBuf),
    /// How to start the server.
    server: String,
    /// Whether nothing is left to do by hand.
    in_place: bool,
}

// === impl Report ===

impl Report<'_> {
    fn print(&self, out: &mut impl Write) -> std::io::Result<()> {
        let certificate = self.config.state_dir.join(server::certificate::CERTIFICATE);
        let key = self.config.state_dir.join(server::certificate::KEY);
        let verb = if self.made { "wrote" } else { "kept" };
        writeln!(out, "{verb} {}", plain(&certificate))?;
        writeln!(out, "{verb} {}", plain(&key))?;
        writeln!(out, "wrote {}", plain(&self.config.generate_kubeconfig))?;
        if self.in_place { Ok(()) } else { self.next_steps(&certificate, &key, out) }
    }

    fn next_steps(&self, certificate: &Path, key: &Path, out: &mut impl Write) -> std::io::Result<()> {
        let (state_dir, kubeconfig) = &self.final_places;
        let mut steps = Vec::new();
        if self.config.state_dir != *state_dir {
            steps.push(format!("copy {} and {} to {}/", plain(certificate), plain(key), state_dir.display()));
        }
        if self.config.generate_kubeconfig != *kubeconfig {
            steps.push(format!("copy {} to {}", plain(&self.config.generate_kubeconfig), kubeconfig.display()));
        }
        steps.push(format!("run  {}", self.server));
        steps.push(format!(
            "start kube-apiserver with  --authentication-token-webhook-config-file={}",
            kubeconfig.display()
        ));
        writeln!(out, "\nNext, on every control-plane node:")?;
        for (index, step) in steps.iter().enumerate() {
            writeln!(out, "  {}. {step}", index + 1)?;
        }
        Ok(())
    }
}

/// Without the `./` of the working directory.
fn plain(path: &Path) -> std::path::Display<'_> {
    path.strip_prefix(".").unwrap_or(path).display()
}

#[cfg(test)]
mod tests;
