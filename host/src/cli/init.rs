//! `herald init`: makes the server's certificate, its key and the webhook kubeconfig beforehand.

use std::{
    io::Write,
    net::IpAddr,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    str::FromStr,
    time::SystemTime,
};

use anyhow::Context as _;

use super::{
    Globals,
    called::{FeatureGate, Name},
};
use crate::{
    config::Config,
    server::{self, Hostname, certificate::keeper, certificate::trust},
};

mod emit;
mod static_pod;

/// Make the certificate, its key and the webhook kubeconfig before the server runs.
///
/// Writes `cert.pem`, `key.pem` and `herald.kubeconfig` into the working directory, or where the
/// options say. A pair that is there already is kept.
#[derive(clap::Args, Clone, Debug)]
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
    /// Where to write the webhook kubeconfig [default: herald.kubeconfig in the working directory].
    #[arg(long)]
    generate_kubeconfig: Option<PathBuf>,
    /// Make the next step to a new certificate instead. Where the server's own authority vouches for the pair, a new
    /// certificate; else such an authority, which the kubeconfig then trusts beside the pair: restart the API servers,
    /// and call this once more. A server that runs takes the new certificate up by itself.
    #[arg(long)]
    rotate: bool,
    /// Give the files and their folders to this user, as an init container that is root does [default: nobody else].
    #[arg(long, value_name = "UID:GID")]
    owner: Option<Owner>,
    /// Print a file for a cluster's set-up instead, with your values in it; no file is made.
    #[arg(long, value_enum, value_name = "WHAT", conflicts_with_all = ["rotate", "owner", "patch_static_pod"])]
    emit: Option<emit::What>,
    #[command(flatten)]
    values: emit::Values,
    /// Make the files in their final places, then put the flag and the mount into this manifest of an API server, once.
    /// The manifest before is kept beside the kubeconfig.
    #[arg(long, value_name = "FILE", conflicts_with = "rotate")]
    patch_static_pod: Option<PathBuf>,
    /// Take the flag and the mount out of the manifest again, and make no files.
    #[arg(long, requires = "patch_static_pod", conflicts_with = "owner")]
    undo: bool,
}

/// A user and a group by their numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Owner(u32, u32);

/// Not a user and a group.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not UID:GID, such as 65534:65534")]
struct InvalidOwner;

// === impl Command ===

impl Command {
    /// Writes the files and tells what to do with them.
    ///
    /// # Errors
    ///
    /// Any [`server::Error`].
    pub fn run(&self, config: &Config, globals: &Globals, now: SystemTime, out: &mut impl Write) -> anyhow::Result<()> {
        if let Some(what) = self.emit {
            return Ok(out.write_all(self.values.render(what, config, globals.name)?.as_bytes())?);
        }
        let configured = FeatureGate::configured_init(&globals.feature_gates) || self.patch_static_pod.is_some();
        let mut places = config.server.clone();
        self.apply(&mut places, globals.name, configured);
        if let (Some(manifest), true) = (&self.patch_static_pod, self.undo) {
            return static_pod::undo(manifest, &places.generate_kubeconfig, out);
        }
        let cluster_id = super::cluster_id(config)?.as_str();
        self.make(config.server.clone(), (cluster_id, globals.name, configured), now, out)?;
        match &self.patch_static_pod {
            Some(manifest) => static_pod::patch(manifest, &places.generate_kubeconfig, out),
            None => Ok(()),
        }
    }

    /// `configured`: places that no option gives are the configuration's, not the working directory.
    fn make(
        &self,
        mut config: server::Config,
        (cluster_id, name, configured): (&str, Name, bool),
        now: SystemTime,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        let final_places = (config.state_dir.clone(), config.generate_kubeconfig.clone());
        self.apply(&mut config, name, configured);
        if self.rotate {
            return rotate(&config, now, out);
        }
        let pair = server::load_certificate(&config, now)?;
        // A server that has been here may have an authority, and API servers trust that.
        let bundle = keeper::bundle(&config.state_dir, &pair, None).map_err(server::Error::from)?;
        server::write_kubeconfig(&config, &bundle, &config.generate_kubeconfig)?;
        if let Some(distrust) = trust::of_config(&config, now) {
            let path = config.generate_kubeconfig.display();
            tracing::warn!(reason = distrust.reason(), %path, "API servers will not trust this server: {distrust}");
        }
        if let Some(owner) = self.owner {
            owner.take(&config)?;
        }
        let in_place = self.patch_static_pod.is_some();
        let report = Report { made: pair.is_new(), config: &config, final_places, cluster_id, name, in_place };
        Ok(report.print(out)?)
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

fn rotate(config: &server::Config, now: SystemTime, out: &mut impl Write) -> anyhow::Result<()> {
    let kubeconfig = plain(&config.generate_kubeconfig);
    match keeper::rotate(config, now)? {
        server::Rotated::Renewed => {
            writeln!(out, "wrote {}", plain(&config.state_dir.join(server::certificate::CERTIFICATE)))?;
            writeln!(out, "A server that runs takes it up within seconds; API servers need no restart.")?;
        }
        server::Rotated::Staged => {
            writeln!(out, "wrote {}", plain(&config.state_dir.join(server::certificate::AUTHORITY)))?;
            writeln!(out, "wrote {kubeconfig}, which trusts it and the certificate in force")?;
            writeln!(out, "Put that file before each API server and restart them, then run this command once more.")?;
        }
    }
    Ok(())
}

// === impl Owner ===

impl Owner {
    fn take(self, config: &server::Config) -> anyhow::Result<()> {
        let kubeconfig = &config.generate_kubeconfig;
        let certificate =
            [server::certificate::CERTIFICATE, server::certificate::KEY].map(|name| config.state_dir.join(name));
        let folders = [Some(config.state_dir.as_path()), kubeconfig.parent()].into_iter().flatten();
        for path in folders.chain(certificate.iter().map(PathBuf::as_path)).chain([kubeconfig.as_path()]) {
            chown(path, Some(self.0), Some(self.1))
                .with_context(|| format!("{} cannot be given away", path.display()))?;
        }
        Ok(())
    }
}

impl FromStr for Owner {
    type Err = InvalidOwner;

    fn from_str(text: &str) -> Result<Self, InvalidOwner> {
        let (user, group) = text.split_once(':').ok_or(InvalidOwner)?;
        let number = |text: &str| text.parse().map_err(|_| InvalidOwner);
        Ok(Self(number(user)?, number(group)?))
    }
}

/// What was done, and what is left to do.
struct Report<'a> {
    made: bool,
    config: &'a server::Config,
    /// State directory and kubeconfig as the server will look for them.
    final_places: (PathBuf, PathBuf),
    cluster_id: &'a str,
    name: Name,
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
        let (name, cluster_id) = (self.name.as_str(), self.cluster_id);
        steps.push(format!("run  {name} server -i {cluster_id} --kubeconfig-pregenerated"));
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
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

    use expect_test::expect;

    use super::*;
    use crate::kubernetes::Kubeconfig;

    const KUBECONFIG: &str = "herald.kubeconfig";

    fn command(folder: &Path) -> Command {
        Command {
            hostname: None,
            address: None,
            state_dir: Some(folder.to_owned()),
            generate_kubeconfig: Some(folder.join(KUBECONFIG)),
            rotate: false,
            owner: None,
            emit: None,
            values: emit::Values::default(),
            patch_static_pod: None,
            undo: false,
        }
    }

    #[track_caller]
    fn run(folder: &Path) -> String {
        let mut out = Vec::new();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let how = ("prod.example.com", Name::Herald, false);
        command(folder).make(server::Config::default(), how, now, &mut out).unwrap();
        String::from_utf8(out).unwrap().replace(&folder.display().to_string(), "FOLDER")
    }

    #[test]
    fn writes_three_files_and_keeps_the_pair() {
        let folder = tempfile::tempdir().unwrap();
        expect![[r#"
            wrote FOLDER/cert.pem
            wrote FOLDER/key.pem
            wrote FOLDER/herald.kubeconfig

            Next, on every control-plane node:
              1. copy FOLDER/cert.pem and FOLDER/key.pem to /var/herald/
              2. copy FOLDER/herald.kubeconfig to /etc/kubernetes/herald/kubeconfig.yaml
              3. run  herald server -i prod.example.com --kubeconfig-pregenerated
              4. start kube-apiserver with  --authentication-token-webhook-config-file=/etc/kubernetes/herald/kubeconfig.yaml
        "#]].assert_eq(&run(folder.path()));
        let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["cert.pem", "herald.kubeconfig", "key.pem"]);
        let mode = fs::metadata(folder.path().join("key.pem")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let certificate = fs::read_to_string(folder.path().join("cert.pem")).unwrap();
        let kubeconfig = fs::read_to_string(folder.path().join(KUBECONFIG)).unwrap();
        let expected =
            Kubeconfig::webhook(server::NAME, "https://localhost:21362/authenticate".to_owned(), &certificate);
        assert_eq!(serde_saphyr::from_str::<Kubeconfig>(&kubeconfig).unwrap(), expected);

        assert!(run(folder.path()).starts_with("kept FOLDER/cert.pem\nkept FOLDER/key.pem\nwrote "));
        assert_eq!(fs::read_to_string(folder.path().join("cert.pem")).unwrap(), certificate);
    }

    #[test]
    fn owners() {
        for (text, expected) in
            [("65534:65532", Some(Owner(65534, 65532))), ("65534", None), ("nobody:0", None), (":", None)]
        {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
        let folder = tempfile::tempdir().unwrap();
        let me = Owner(rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let how = ("prod.example.com", Name::Herald, false);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let command = Command { owner: Some(me), ..command(folder.path()) };
        command
            .make(server::Config::default(), how, now, &mut Vec::new())
            .expect("one's own files can be given to oneself");
    }

    #[test]
    fn places() {
        #[track_caller]
        fn check(name: Name, configured: bool, state_dir: &str, kubeconfig: &str) {
            let mut config = server::Config::default();
            name.place(&mut config);
            let command = Command { state_dir: None, generate_kubeconfig: None, ..command(Path::new("")) };
            command.apply(&mut config, name, configured);
            assert_eq!(plain(&config.state_dir.join("cert.pem")).to_string(), format!("{state_dir}cert.pem"));
            assert_eq!(config.generate_kubeconfig, Path::new(kubeconfig));
        }
        check(Name::Herald, false, "", "herald.kubeconfig");
        check(Name::Herald, true, "/var/herald/", "/etc/kubernetes/herald/kubeconfig.yaml");
        check(Name::HeptioAuthenticatorAws, false, "", "heptio-authenticator-aws.kubeconfig");
        let configured = "/etc/kubernetes/aws-iam-authenticator/kubeconfig.yaml";
        check(Name::AwsIamAuthenticator, true, "/var/aws-iam-authenticator/", configured);
    }
}
