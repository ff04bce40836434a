//! What a component is to its host: the contract that it exports and the interfaces that it calls, read without running it.

use wasmparser::{
    Parser, Payload, ValidPayload, Validator, WasmFeatures,
    component_types::{ComponentEntityType, ComponentItem},
    types::Types,
};

use super::{cloud::Fact, stranger};

/// What a component is to its host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Shape {
    /// The version of the contract that it exports, e.g. `herald:policy/mapper@0.1.0`.
    pub contract: String,
    /// The interfaces that it calls. One of types alone gives a component no power, and is none of them.
    pub imports: Vec<String>,
    /// The facts about callers that it asks for: which functions of the contract's `cloud` are left in it.
    pub facts: Vec<Fact>,
}

/// Why a component has no [`Shape`]: its author's fault.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// Bytes that are no component, truncated ones among them.
    #[error("not a valid component: {0}")]
    Invalid(String),
    /// It does not export the contract.
    #[error("it does not export herald:policy/mapper: is the SDK's `export` missing?")]
    NoMapper,
}

const MAPPER: &str = "herald:policy/mapper@";
const CLOUD: &str = "herald:policy/cloud@";

/// The names at a component's own level, and the types of everything in it.
struct Names {
    imports: Vec<String>,
    exports: Vec<String>,
    types: Types,
}

// === impl Shape ===

impl Shape {
    /// Looks at a component that is a policy, whatever it imports. What its functions do is not looked at.
    ///
    /// # Errors
    ///
    /// When it is no component, or exports no contract.
    pub fn of(component: &[u8]) -> Result<Self, ShapeError> {
        stranger::check(component)?;
        let Names { imports, exports, types } = stranger::caught(|| Names::of(component))??;
        let types = types.as_ref();
        // The items of what has this type, if it is an interface.
        let interface = |item: &ComponentItem| match item.ty {
            ComponentEntityType::Instance(id) => Some(&types[id].exports),
            _ => None,
        };
        let is_interface = |name: &String| types.component_item_for_export(name).and_then(interface).is_some();
        let contract = exports.into_iter().find(|name| name.starts_with(MAPPER) && is_interface(name));
        let has_power = |name: &String| match types.component_item_for_import(name) {
            Some(item) => interface(item).map_or_else(|| !is_type(item), |items| !items.values().all(is_type)),
            None => true,
        };
        let is_asked = |fact: &Fact| {
            let clouds = imports.iter().filter(|name| name.starts_with(CLOUD));
            let mut items = clouds.filter_map(|name| types.component_item_for_import(name).and_then(interface));
            items.any(|items| items.get(fact.word()).is_some_and(|item| !is_type(item)))
        };
        Ok(Self {
            contract: contract.ok_or(ShapeError::NoMapper)?,
            facts: Fact::ALL.into_iter().filter(is_asked).collect(),
            imports: imports.iter().filter(|name| has_power(name)).cloned().collect(),
        })
    }
}

fn is_type(item: &ComponentItem) -> bool {
    matches!(item.ty, ComponentEntityType::Type { .. })
}

// === impl Names ===

impl Names {
    fn of(component: &[u8]) -> Result<Self, ShapeError> {
        let broken = |error: wasmparser::BinaryReaderError| ShapeError::Invalid(stranger::words(error));
        let mut validator = Validator::new_with_features(WasmFeatures::all());
        let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0_usize);
        for payload in Parser::new(0).parse_all(component) {
            let payload = payload.map_err(broken)?;
            match &payload {
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section.clone() {
                        imports.push(import.map_err(broken)?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section.clone() {
                        exports.push(export.map_err(broken)?.name.name.to_owned());
                    }
                }
                _ => {}
            }
            match validator.payload(&payload).map_err(broken)? {
                ValidPayload::Parser(_) => depth += 1,
                ValidPayload::End(types) if depth == 0 => return Ok(Self { imports, exports, types }),
                ValidPayload::End(_) => depth -= 1,
                // A function's body is checked when the component is compiled.
                ValidPayload::Ok | ValidPayload::Func(..) => {}
            }
        }
        Err(ShapeError::Invalid("it ends early".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(wat: &str, expected: Result<(&str, &[&str], &[Fact]), ShapeError>) {
        let component = wat::parse_str(wat).expect("a component");
        let expected = expected.map(|(contract, imports, facts)| Shape {
            contract: contract.to_owned(),
            imports: imports.iter().map(|&name| name.to_owned()).collect(),
            facts: facts.to_vec(),
        });
        assert_eq!(Shape::of(&component), expected, "{wat}");
    }

    #[test]
    fn contract_and_imports() {
        let mapper = r#"(instance $nothing) (export "herald:policy/mapper@0.1.0" (instance $nothing))"#;
        let with = |imports: &str| format!("(component {imports} {mapper})");
        let contract = "herald:policy/mapper@0.1.0";
        check(&with(""), Ok((contract, &[], &[])));
        let types =
            r#"(import "herald:policy/types@0.1.0" (instance (type $t (enum "a")) (export "t" (type (eq $t)))))"#;
        check(&with(types), Ok((contract, &[], &[])));
        let resource = r#"(import "herald:policy/types@0.1.0" (instance (export "r" (type (sub resource)))))"#;
        check(&with(resource), Ok((contract, &[], &[])));
        let log = r#"(import "herald:policy/log@0.1.0" (instance (export "write" (func))))"#;
        check(&with(log), Ok((contract, &["herald:policy/log@0.1.0"], &[])));
        let cloud = r#"(import "herald:policy/cloud@0.1.0" (instance (export "caller-tags" (func))))"#;
        check(&with(cloud), Ok((contract, &["herald:policy/cloud@0.1.0"], &[Fact::CallerTags])));
        let named = r#"(import "herald:policy/cloud@0.1.0" (instance (type $t (enum "a")) (export "caller-tags" (type (eq $t)))))"#;
        check(&with(named), Ok((contract, &[], &[])));
        // Powers in other shapes than an interface's.
        check(&with(r#"(import "f" (func))"#), Ok((contract, &["f"], &[])));
        check(&with(r#"(import "m" (core module))"#), Ok((contract, &["m"], &[])));
        check(&with(r#"(import "c" (component))"#), Ok((contract, &["c"], &[])));
        check(&with(r#"(type $t (enum "a")) (import "t" (type (eq $t)))"#), Ok((contract, &[], &[])));
        // The names of what is inside it are not its own.
        let inner = format!("(component {})", with(log));
        check(&inner, Err(ShapeError::NoMapper));
    }

    #[test]
    fn names_of_interfaces_on_other_things() {
        let func = r#"(component (import "f" (func $f)) (export "herald:policy/mapper@0.1.0" (func $f)))"#;
        check(func, Err(ShapeError::NoMapper));
        let import = r#"(component
            (import "herald:policy/log@0.1.0" (func))
            (instance $nothing)
            (export "herald:policy/mapper@0.1.0" (instance $nothing)))"#;
        check(import, Ok(("herald:policy/mapper@0.1.0", &["herald:policy/log@0.1.0"], &[])));
    }

    /// Its author chooses names, and whoever looks into it has a terminal.
    #[test]
    fn what_is_wrong_with_a_name_is_told_without_what_steers_a_terminal() {
        let sections: [&[u8]; 3] = [b"\x07\x03\x01\x42\x00", b"\x0a\x0b\x01\x00\x06", b"a\x1b[31m\x05\x00"];
        let component = [&b"\0asm\x0d\0\x01\0"[..], &sections.concat()].concat();
        let told = Shape::of(&component).expect_err("it is no name").to_string();
        assert!(told.contains(r"import name `a\u{1b}[31m` is not"), "{told}");
    }

    #[test]
    fn no_components() {
        for wat in ["(module)", "(component)"] {
            check(wat, Err(ShapeError::NoMapper));
        }
        let whole = wat::parse_str("(component (core module))").unwrap();
        for length in 0..whole.len() {
            let error = Shape::of(&whole[..length]).unwrap_err();
            // What is left of a file may be a whole component.
            assert!(length == 8 || matches!(error, ShapeError::Invalid(_)), "{length}: {error:?}");
        }
    }
}
