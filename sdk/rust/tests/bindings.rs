//! The bindings in `src/bindings/` are what wit-bindgen makes of `wit/`.

use std::path::Path;

use expect_test::expect_file;
use wit_bindgen_core::{Files, WorldGenerator as _};
use wit_bindgen_rust::Opts;
use wit_parser::Resolve;

/// `UPDATE_EXPECT=1 cargo test` writes them anew.
#[test]
fn bindings_are_those_of_the_contract() {
    let mut resolve = Resolve::default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/v0.1.0");
    let (package, _) = resolve.push_dir(folder).expect("the contract is good WIT");
    let world =
        resolve.select_world(&[package], Some("policy-with-capabilities")).expect("the contract has this world");
    let options = Opts {
        runtime_path: Some("::wit_bindgen::rt".to_owned()),
        export_macro_name: Some("export_component".to_owned()),
        pub_export_macro: true,
        default_bindings_module: Some("herald_policy::bindings::v0_1".to_owned()),
        ..Opts::default()
    };
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files).expect("the contract can be bound");
    let mut texts = files.iter().map(|(_, text)| text);
    let text = String::from_utf8(texts.next().expect("one file").to_vec()).expect("Rust is text");
    assert!(texts.next().is_none(), "one file alone");
    expect_file!["../src/bindings/v0_1.rs"].assert_eq(&text);
}
