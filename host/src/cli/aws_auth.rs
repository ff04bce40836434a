//! Changes of the aws-auth ConfigMap, or of a file with mappings: read, planned, shown, written if nobody else was faster.
//!
//! A write is a merge patch of one key that names the version it was planned for; when another write came first, all
//! is read and planned anew. Failure rule: nothing is written, or all of it.

use std::{
    io::{self, BufRead as _, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use clap::builder::BoolishValueParser;
use serde_json::json;

use super::{
    called::{self, Name},
    cluster::{self, Cluster},
    verify::Plain,
};
use crate::{
    config::edit::{AuthMap, Edit, Principal},
    kubernetes::{
        Client,
        client::{CONFLICT, Place},
        watch::ApiError,
    },
};

pub(super) mod on_disk;

/// Which ConfigMap, or which file, and how it is changed.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Target {
    #[command(flatten)]
    pub(super) cluster: Cluster,
    /// Change a file, and no cluster: the manifest of an aws-auth ConfigMap, or a configuration of Herald's.
    #[arg(long, value_name = "FILE", conflicts_with_all = CLUSTER_OPTIONS)]
    pub(super) file: Option<PathBuf>,
    /// Namespace of the ConfigMap.
    #[arg(long, default_value = "kube-system")]
    pub(super) namespace: String,
    /// Name of the ConfigMap.
    #[arg(long, default_value = called::config_map())]
    pub(super) name: String,
    /// Show what would change, and change nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Show what changes and ask before it is written [default: false].
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub(super) prompt: Option<bool>,
}

/// A permission set as `permissionSetName=NAME,accountID=ID[,partition=NAME]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sso(pub Principal);

/// What is to be done.
pub(super) enum Plan {
    /// This change, told in these words.
    Change(Edit, String),
    /// Nothing, for this reason.
    Nothing(String),
}

/// The ConfigMap as it is.
struct Found {
    map: AuthMap,
    /// `None` if there is none.
    version: Option<String>,
}

/// Options that a file has no use for.
pub(super) const CLUSTER_OPTIONS: [&str; 5] = ["kubeconfig", "context", "master", "namespace", "name"];
/// Most attempts while others write too.
const ATTEMPTS: u32 = 5;
/// The wait before the second attempt; each further one is longer by as much.
const PAUSE: Duration = Duration::from_millis(100);
/// Lines around a change that are shown.
const AROUND: usize = 3;
const BAD_SSO: &str = "must be permissionSetName=NAME,accountID=ID or the same with ,partition=NAME";

// === impl Target ===

impl Target {
    /// Reads the ConfigMap, has a change of it planned and writes it, or says on `out` why there is nothing to do.
    ///
    /// # Errors
    ///
    /// When the cluster does not let it be read or written, or the plan is refused.
    pub(super) fn change(
        &self,
        name: Name,
        stdin: impl Read,
        plan: impl Fn(&AuthMap) -> anyhow::Result<Plan>,
        out: &mut impl Write,
    ) -> anyhow::Result<ExitCode> {
        let mut stdin = BufReader::new(stdin);
        let prompt = self.prompt.unwrap_or_else(|| name.is_old());
        if let Some(file) = &self.file {
            return self.change_file(file, prompt, &mut stdin, plan, out);
        }
        cluster::run(async {
            let client = self.cluster.client().await?;
            let mut shown = None;
            for attempt in 1..=ATTEMPTS {
                let found = self.read(&client).await?;
                let (edit, words) = match plan(&found.map)? {
                    Plan::Change(edit, words) => (edit, words),
                    Plan::Nothing(why) => {
                        writeln!(out, "{}: {}", self.title(), Plain(&why))?;
                        return Ok(ExitCode::SUCCESS);
                    }
                };
                if attempt == 1 {
                    remark(&edit);
                }
                let asked_for = shown.as_ref() == Some(&edit);
                if (self.dry_run || prompt) && !asked_for {
                    write_diff(&format!("{} {}", self.title(), edit.key), (&edit.before, &edit.after), out)?;
                }
                if self.dry_run {
                    return Ok(ExitCode::SUCCESS);
                }
                if prompt && !asked_for && !agreed(&mut stdin, out)? {
                    writeln!(out, "cancelled")?;
                    return Ok(ExitCode::SUCCESS);
                }
                match self.write(&client, &found, &edit).await {
                    Ok(()) => {
                        writeln!(out, "{}: {}", self.title(), Plain(&words))?;
                        return Ok(ExitCode::SUCCESS);
                    }
                    Err(error) if error.status() == Some(CONFLICT) && attempt < ATTEMPTS => {
                        shown = Some(edit);
                        tokio::time::sleep(PAUSE * attempt).await;
                    }
                    Err(error) => {
                        let words = unwritten(&self.title(), &error);
                        return Err(error).context(words);
                    }
                }
            }
            bail!("{} is not changed: somebody else keeps changing it", self.title())
        })
    }

    /// The same with a file, which is replaced whole, its mode and owner kept.
    fn change_file(
        &self,
        file: &Path,
        prompt: bool,
        stdin: &mut impl BufReadLine,
        plan: impl Fn(&AuthMap) -> anyhow::Result<Plan>,
        out: &mut impl Write,
    ) -> anyhow::Result<ExitCode> {
        let title = self.title();
        let found = on_disk::read(file)?;
        let (edit, words) = match plan(&found.map)? {
            Plan::Change(edit, words) => (edit, words),
            Plan::Nothing(why) => {
                writeln!(out, "{title}: {}", Plain(&why))?;
                return Ok(ExitCode::SUCCESS);
            }
        };
        remark(&edit);
        let after = found.with(&edit).with_context(|| format!("{title} is not changed"))?;
        if self.dry_run || prompt {
            write_diff(&title, (found.text(), &after), out)?;
        }
        if self.dry_run {
            return Ok(ExitCode::SUCCESS);
        }
        if prompt && !agreed(stdin, out)? {
            writeln!(out, "cancelled")?;
            return Ok(ExitCode::SUCCESS);
        }
        on_disk::replace(file, found.text(), &after).with_context(|| format!("{title} is not changed"))?;
        writeln!(out, "{title}: {}", Plain(&words))?;
        Ok(ExitCode::SUCCESS)
    }

    /// What the ConfigMap or the file holds; `None` if there is no such ConfigMap.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub(super) fn look(&self) -> anyhow::Result<Option<AuthMap>> {
        if let Some(file) = &self.file {
            return Ok(Some(on_disk::read(file)?.map));
        }
        cluster::run(async {
            let found = self.read(&self.cluster.client().await?).await?;
            Ok(found.version.is_some().then_some(found.map))
        })
    }

    /// Its name in messages.
    pub(super) fn title(&self) -> String {
        if let Some(file) = &self.file {
            return file.display().to_string();
        }
        format!("{}/{}", self.namespace, self.name)
    }

    fn place(&self) -> Place<'_> {
        Place {
            version: "v1",
            plural: "configmaps",
            namespace: Some(&self.namespace),
            name: Some(&self.name),
            ..Place::default()
        }
    }

    async fn read(&self, client: &Client) -> anyhow::Result<Found> {
        let object = client.get(&self.place()).await.with_context(|| format!("{} cannot be read", self.title()))?;
        let Some(object) = object else { return Ok(Found { map: AuthMap::default(), version: None }) };
        let version = object["metadata"]["resourceVersion"].as_str().filter(|version| !version.is_empty());
        // Without one a write could undo somebody else's.
        ensure!(version.is_some(), "{} has no resourceVersion", self.title());
        Ok(Found { version: version.map(str::to_owned), map: AuthMap::of(&object) })
    }

    async fn write(&self, client: &Client, found: &Found, edit: &Edit) -> Result<(), ApiError> {
        let data = json!({ edit.key: edit.after });
        let written = match &found.version {
            Some(version) => {
                let patch = json!({ "metadata": { "resourceVersion": version }, "data": data });
                client.merge(&self.place(), &patch).await
            }
            None => {
                let metadata = json!({ "name": self.name, "namespace": self.namespace });
                let object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data });
                client.create(&self.place(), &object).await
            }
        };
        written.map(drop)
    }
}

/// What became of `title` by a write that ended with `error`.
fn unwritten(title: &str, error: &ApiError) -> String {
    if error.is_refusal() {
        return format!("{title} is not changed");
    }
    format!("nobody knows whether {title} is changed, list it to see")
}

/// What there is to say about an entry that is in force all the same.
fn remark(edit: &Edit) {
    for remark in &edit.remarks {
        // Nobody has to read it.
        let _ = writeln!(io::stderr(), "{}[{}]: {}", remark.severity, remark.id, Plain(&remark.text()));
    }
}

fn agreed(stdin: &mut impl BufReadLine, out: &mut impl Write) -> anyhow::Result<bool> {
    write!(out, "write this? (y/n) ")?;
    out.flush()?;
    let answer = stdin.line()?.context("no answer: nothing is changed")?;
    Ok(["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
}

/// One line of an answer, bounded.
trait BufReadLine {
    /// The next line; `None` at the end of the input.
    fn line(&mut self) -> io::Result<Option<String>>;
}

impl<R: Read> BufReadLine for BufReader<R> {
    fn line(&mut self) -> io::Result<Option<String>> {
        const MAX_ANSWER: u64 = 1024;
        let mut line = String::new();
        let read = self.by_ref().take(MAX_ANSWER).read_line(&mut line)?;
        Ok((read > 0).then_some(line))
    }
}

/// The lines that differ, with a few around them, in the form of `diff -u`.
fn write_diff(title: &str, (before, after): (&str, &str), out: &mut impl Write) -> io::Result<()> {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let head = std::iter::zip(&old, &new).take_while(|(old, new)| old == new).count();
    let most = old.len().min(new.len()) - head;
    let tail = std::iter::zip(old.iter().rev(), new.iter().rev()).take(most).take_while(|(old, new)| old == new);
    let tail = tail.count();
    let (old_end, new_end) = (old.len() - tail, new.len() - tail);
    let first = head.saturating_sub(AROUND);
    let last = (old_end + AROUND).min(old.len());
    let count = |end: usize| end - first + last - old_end;
    writeln!(out, "--- {title}\n+++ {title}")?;
    writeln!(out, "@@ -{},{} +{},{} @@", first + 1, count(old_end), first + 1, count(new_end))?;
    let groups =
        [(' ', &old[first..head]), ('-', &old[head..old_end]), ('+', &new[head..new_end]), (' ', &old[old_end..last])];
    for (mark, lines) in groups {
        for line in lines {
            writeln!(out, "{mark}{}", Plain(line))?;
        }
    }
    Ok(())
}

// === impl Sso ===

impl std::str::FromStr for Sso {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (mut name, mut account_id, mut partition) = (None, None, None);
        // A name may hold commas itself: what has no key of its own belongs to the part before.
        let mut parts: Vec<String> = Vec::new();
        for part in text.split(',') {
            let starts = ["permissionsetname=", "accountid=", "partition="]
                .iter()
                .any(|key| part.trim_start().to_ascii_lowercase().starts_with(key));
            match parts.last_mut() {
                Some(last) if !starts => last.push_str(&format!(",{part}")),
                _ => parts.push(part.trim_start().to_owned()),
            }
        }
        for part in parts {
            let (key, value) = part.split_once('=').ok_or(BAD_SSO)?;
            let place = match key.to_ascii_lowercase().as_str() {
                "permissionsetname" => &mut name,
                "accountid" => &mut account_id,
                "partition" => &mut partition,
                _ => return Err(BAD_SSO),
            };
            if value.is_empty() || place.replace(value.to_owned()).is_some() {
                return Err(BAD_SSO);
            }
        }
        let (name, account_id) = (name.ok_or(BAD_SSO)?, account_id.ok_or(BAD_SSO)?);
        Ok(Self(Principal::PermissionSet { name, account_id, partition }))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use expect_test::{Expect, expect};

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        target: Target,
    }

    #[test]
    fn whether_to_ask_is_said_in_any_word_for_it() {
        #[track_caller]
        fn check(words: &[&str], expected: Option<bool>) {
            let cli = Cli::try_parse_from([&["add"], words].concat()).expect("good arguments");
            assert_eq!(cli.target.prompt, expected, "{words:?}");
        }
        check(&[], None);
        check(&["--prompt"], Some(true));
        check(&["--prompt=T"], Some(true));
        check(&["--prompt=F"], Some(false));
        check(&["--prompt=0"], Some(false));
    }

    /// A write whose answer is not awaited any longer may still be made.
    #[test]
    fn a_write_without_an_answer_is_not_told_as_none() {
        let words = unwritten("kube-system/aws-auth", &ApiError::Timeout);
        assert_eq!(words, "nobody knows whether kube-system/aws-auth is changed, list it to see");
    }

    #[test]
    fn permission_sets() {
        #[track_caller]
        fn check(text: &str, expected: Option<(&str, &str, Option<&str>)>) {
            let expected = expected.map(|(name, account, partition)| {
                Sso(Principal::PermissionSet {
                    name: name.to_owned(),
                    account_id: account.to_owned(),
                    partition: partition.map(str::to_owned),
                })
            });
            assert_eq!(text.parse::<Sso>().ok(), expected, "{text}");
        }
        check("", None);
        check("permissionSetName=A", None);
        check("accountID=1,accountID=2,permissionSetName=A", None);
        check("permissionSetName=,accountID=1", None);
        check("name=A,accountID=1", None);
        check("permissionSetName=A,accountID=123456789012", Some(("A", "123456789012", None)));
        check("accountid=1, permissionsetname=A,B=c,partition=aws-cn", Some(("A,B=c", "1", Some("aws-cn"))));
    }

    #[test]
    fn diffs() {
        #[track_caller]
        fn check(before: &str, after: &str, expected: &Expect) {
            let mut out = Vec::new();
            write_diff("ns/name mapRoles", (before, after), &mut out).expect("written");
            expected.assert_eq(&String::from_utf8(out).expect("text"));
        }
        check(
            "",
            "- a\n  b\n",
            &expect![[r#"
            --- ns/name mapRoles
            +++ ns/name mapRoles
            @@ -1,0 +1,2 @@
            +- a
            +  b
        "#]],
        );
        check(
            "1\n2\n3\n4\n5\n6\n7\n8\n9\n",
            "1\n2\n3\n4\n6\n7\n8\n9\n",
            &expect![[r#"
            --- ns/name mapRoles
            +++ ns/name mapRoles
            @@ -2,7 +2,6 @@
             2
             3
             4
            -5
             6
             7
             8
        "#]],
        );
        check(
            "a\na\n",
            "a\na\na\n",
            &expect![[r#"
            --- ns/name mapRoles
            +++ ns/name mapRoles
            @@ -1,2 +1,3 @@
             a
             a
            +a
        "#]],
        );
        check(
            "a\u{1b}[1m\nb\n",
            "b\n",
            &expect![[r#"
            --- ns/name mapRoles
            +++ ns/name mapRoles
            @@ -1,2 +1,1 @@
            -a\u{1b}[1m
             b
        "#]],
        );
    }
}
