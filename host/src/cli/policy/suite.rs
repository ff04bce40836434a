//! Suites: files of cases, whole or one case of them.

use std::{
    fs,
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::{
    config::read_document,
    policy::cases::{Case, Document, Terms},
};

/// A file of cases.
#[derive(Debug)]
pub struct Suite {
    /// What they are asked under.
    pub terms: Terms,
    /// The cases in order; at least one.
    pub cases: Vec<Case>,
    /// `tables` as they are written; null if there are none.
    pub tables: Value,
}

/// `FILE[:NAME]`: one case of a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CaseAt {
    file: PathBuf,
    name: Option<String>,
}

/// One case, and what its file says of it.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) case: Case,
    pub(super) tables: Value,
    pub(super) terms: Terms,
}

// === impl Suite ===

impl Suite {
    /// Reads a file of cases.
    ///
    /// # Errors
    ///
    /// When it cannot be read, has a key that does not exist, or has no case at all.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    /// Reads the text of one.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let document: Document = read_document(text).map_err(anyhow::Error::msg)?;
        let mut whole: Value = read_document(text).map_err(anyhow::Error::msg)?;
        let (terms, cases) = (document.terms(), document.into_cases());
        ensure!(!cases.is_empty(), "there are no cases in it");
        Ok(Self { terms, cases, tables: whole["tables"].take() })
    }

    fn choose(self, name: Option<&str>) -> anyhow::Result<Chosen> {
        let Self { terms, mut cases, tables } = self;
        let names = || cases.iter().map(|case| format!("{:?}", case.name)).collect::<Vec<_>>().join(", ");
        let at = match name {
            None if cases.len() == 1 => 0,
            None => bail!("it has {} cases: name one behind a colon, of {}", cases.len(), names()),
            Some(name) => {
                let mut found = cases.iter().enumerate().filter(|(_, case)| case.name == name);
                let (at, _) =
                    found.next().with_context(|| format!("no case is called {name:?}; there are {}", names()))?;
                ensure!(found.next().is_none(), "more than one case is called {name:?}");
                at
            }
        };
        Ok(Chosen { case: cases.swap_remove(at), tables, terms })
    }
}

// === impl CaseAt ===

impl CaseAt {
    pub(super) fn read(&self) -> anyhow::Result<Chosen> {
        let suite = Suite::read(&self.file)?;
        suite.choose(self.name.as_deref()).with_context(|| self.file.display().to_string())
    }
}

impl FromStr for CaseAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (file, name) = text.split_once(':').map_or((text, None), |(file, name)| (file, Some(name)));
        if file.is_empty() || name.is_some_and(str::is_empty) {
            return Err("write it as FILE, or FILE:NAME where the file has several cases".to_owned());
        }
        Ok(Self { file: file.into(), name: name.map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_case_of_a_file() {
        #[track_caller]
        fn check(names: &[&str], name: Option<&str>, expected: Result<&str, &str>) {
            let case = |name: &&str| {
                format!("- {{name: '{name}', caller: {{arn: 'arn:aws:iam::111122223333:root'}}, expect: abstain}}")
            };
            let text =
                format!("tables: {{a: {{b: c}}}}\ncases:\n{}", names.iter().map(case).collect::<Vec<_>>().join("\n"));
            let chosen = Suite::parse(&text).expect("cases").choose(name);
            let found = chosen.map(|chosen| format!("{} {}", chosen.case.name, chosen.tables));
            let expected = expected.map(|name| format!("{name} {{\"a\":{{\"b\":\"c\"}}}}"));
            assert_eq!(found.map_err(|error| error.to_string()), expected.map_err(str::to_owned));
        }
        check(&["one"], None, Ok("one"));
        check(&["one", "two: b"], Some("two: b"), Ok("two: b"));
        check(&["one", "two"], None, Err("it has 2 cases: name one behind a colon, of \"one\", \"two\""));
        check(&["one"], Some("two"), Err("no case is called \"two\"; there are \"one\""));
        check(&["one", "one"], Some("one"), Err("more than one case is called \"one\""));
    }

    #[test]
    fn where_a_case_is() {
        let at = |file: &str, name: Option<&str>| Ok(CaseAt { file: file.into(), name: name.map(str::to_owned) });
        assert_eq!("cases.yaml".parse(), at("cases.yaml", None));
        assert_eq!("a/b.yaml:never: this".parse(), at("a/b.yaml", Some("never: this")));
        assert!(["", ":x", "cases.yaml:"].iter().all(|bad| bad.parse::<CaseAt>().is_err()));
    }
}
