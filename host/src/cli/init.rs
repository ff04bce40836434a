//! `herald init`: makes the server's certificate, its key and the webhook kubeconfig beforehand.

use std::{
    io::Write,
    net::IpAddr,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::{
    config::Config,
    server::{self, Hostname},
};

/// Name of the kubeconfig in the working directory.
const KUBECONFIG: &str = "herald.kubeconfig";

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
}

// === impl Command ===

impl Command {
    /// Writes the files and tells what to do with them.
    ///
    /// # Errors
    ///
    /// Any [`server::Error`].
    pub fn run(&self, config: &Config, now: SystemTime, out: &mut impl Write) -> anyhow::Result<()> {
        let cluster_id = super::cluster_id(config)?.as_str();
        self.make(config.server.clone(), cluster_id, now, out)
    }

    fn make(
        &self,
        mut config: server::Config,
        cluster_id: &str,
        now: SystemTime,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        let final_places = (config.state_dir.clone(), config.generate_kubeconfig.clone());
        self.apply(&mut config);
        let pair = server::load_certificate(&config, now)?;
        server::write_kubeconfig(&config, &pair, &config.generate_kubeconfig)?;
        let report = Report { made: pair.is_new(), config: &config, final_places, cluster_id };
        Ok(report.print(out)?)
    }

    fn apply(&self, config: &mut server::Config) {
        if let Some(hostname) = &self.hostname {
            config.hostname = hostname.clone();
        }
        config.address = self.address.unwrap_or(config.address);
        config.state_dir = self.state_dir.clone().unwrap_or_else(|| ".".into());
        config.generate_kubeconfig = self.generate_kubeconfig.clone().unwrap_or_else(|| KUBECONFIG.into());
    }
}

/// What was done, and what is left to do.
struct Report<'a> {
    made: bool,
    config: &'a server::Config,
    /// State directory and kubeconfig as the server will look for them.
    final_places: (PathBuf, PathBuf),
    cluster_id: &'a str,
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
        self.next_steps(&certificate, &key, out)
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
        steps.push(format!("run  herald server -i {} --kubeconfig-pregenerated", self.cluster_id));
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

    fn command(folder: &Path) -> Command {
        Command {
            hostname: None,
            address: None,
            state_dir: Some(folder.to_owned()),
            generate_kubeconfig: Some(folder.join(KUBECONFIG)),
        }
    }

    #[track_caller]
    fn run(folder: &Path) -> String {
        let mut out = Vec::new();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        command(folder).make(server::Config::default(), "prod.example.com", now, &mut out).unwrap();
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
    fn places_default_to_the_working_directory() {
        let mut config = server::Config::default();
        Command { hostname: None, address: None, state_dir: None, generate_kubeconfig: None }.apply(&mut config);
        assert_eq!(config.state_dir, Path::new("."));
        assert_eq!(config.generate_kubeconfig, Path::new("herald.kubeconfig"));
        assert_eq!(plain(&config.state_dir.join("cert.pem")).to_string(), "cert.pem");
    }
}
