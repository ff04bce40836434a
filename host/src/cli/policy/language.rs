//! The languages that policies are written in, and how a folder tells which one is in it.

use std::path::Path;

/// A language there is an SDK for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(super) enum Language {
    /// Go
    Go,
    /// JavaScript or TypeScript
    Js,
    /// Python
    Python,
    /// Rust
    Rust,
}

impl Language {
    /// All there are.
    pub(super) const ALL: [Self; 4] = [Self::Go, Self::Js, Self::Python, Self::Rust];

    /// The file that every project in this language has in its folder.
    pub(super) fn manifest(self) -> &'static str {
        match self {
            Self::Go => "go.mod",
            Self::Js => "package.json",
            Self::Python => "pyproject.toml",
            Self::Rust => "Cargo.toml",
        }
    }

    /// The language of the project in `dir`, or what is wrong with it.
    pub(super) fn of(dir: &Path) -> Result<Self, &'static str> {
        let mut found = Self::ALL.into_iter().filter(|language| dir.join(language.manifest()).is_file());
        match (found.next(), found.next()) {
            (Some(language), None) => Ok(language),
            (None, _) => Err("it has none of Cargo.toml, go.mod, package.json and pyproject.toml"),
            (Some(_), Some(_)) => Err("it has more than one of Cargo.toml, go.mod, package.json and pyproject.toml"),
        }
    }
}
