//! How `herald` is linked for release: smaller on disk, and with less of it in memory.
//!
//! Relative relocations are written in packed form (ELF `DT_RELR`): the loader reads all of them at each start, and
//! the plain form is 2.3 MB. glibc reads the packed form since 2.36, and a binary that has it does not start on an
//! older one, so it is used only where the machine that builds has such a glibc.

use std::{env, process::Command};

/// The first glibc that reads packed relocations.
const PACKED_SINCE: (u32, u32) = (2, 36);

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    let native = env::var("HOST") == env::var("TARGET");
    if !native || !is("PROFILE", "release") || !is("CARGO_CFG_TARGET_OS", "linux") || !is("CARGO_CFG_TARGET_ENV", "gnu")
    {
        return;
    }
    if glibc().is_some_and(|version| version >= PACKED_SINCE) {
        println!("cargo::rustc-link-arg-bin=herald=-Wl,-z,pack-relative-relocs");
    }
}

/// The version of this machine's C library (getconf(1)).
fn glibc() -> Option<(u32, u32)> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
