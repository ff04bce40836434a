//! How `herald` is linked.
//!
//! All relocations are made at the start, and what they were made in is read-only from then on: rustc would say so by
//! itself, but is told otherwise in `.cargo/config.toml`. What follows is for releases: smaller on disk, and with less of
//! it in memory.
//!
//! Relative relocations are written in packed form (ELF `DT_RELR`): the loader reads all of them at each start, and
//! the plain form is 2.3 MB. glibc reads the packed form since 2.36, and a binary that has it does not start on an
//! older one, so it is used only where the machine that builds has such a glibc.
//!
//! What a server calls stands side by side, as `link/TARGET.order` lists it: it is a tenth of the code, and strewn
//! over all of it, would bring half of the code into memory.

use std::{
    env,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

/// The first glibc that reads packed relocations.
const PACKED_SINCE: (u32, u32) = (2, 36);

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=link");
    if variable("CARGO_CFG_TARGET_OS") != "linux" {
        return;
    }
    link("-Wl,-z,relro,-z,now");
    if variable("PROFILE") != "release" {
        return;
    }
    let (host, target) = (variable("HOST"), variable("TARGET"));
    if host == target
        && variable("CARGO_CFG_TARGET_ENV") == "gnu"
        && glibc().is_some_and(|version| version >= PACKED_SINCE)
    {
        link("-Wl,-z,pack-relative-relocs");
    }
    let order = Path::new(&variable("CARGO_MANIFEST_DIR")).join("link").join(format!("{target}.order"));
    let in_order = format!("-Wl,--symbol-ordering-file={},--no-warn-symbol-ordering", order.display());
    if order.exists() && linker_takes(&in_order) {
        link(&in_order);
    }
}

fn link(argument: &str) {
    println!("cargo::rustc-link-arg-bin=herald={argument}");
}

/// What cargo says; nothing where it says nothing (The Cargo Book, "Environment Variables").
fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

/// The version of this machine's C library (getconf(1)).
fn glibc() -> Option<(u32, u32)> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Whether the linker of this build, whichever it is, makes a program with `argument`: LLVM's does, others refuse.
fn linker_takes(argument: &str) -> bool {
    let mut rustc = Command::new(variable("RUSTC"));
    rustc.args(["--crate-name", "probe", "--target", &variable("TARGET"), "--out-dir", &variable("OUT_DIR")]);
    rustc.args(variable("CARGO_ENCODED_RUSTFLAGS").split('\x1f').filter(|flag| !flag.is_empty()));
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        rustc.arg("-Clinker").arg(linker);
    }
    rustc.arg("-Clink-arg=".to_owned() + argument).arg("-");
    let made = rustc.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().and_then(|mut rustc| {
        let program = rustc.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(b"fn main() {}"));
        Ok(program.is_ok() & rustc.wait()?.success())
    });
    made.unwrap_or(false)
}
