//! The command over files of each kind.
