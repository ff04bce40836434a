//! A core WebAssembly module becomes a component, and what a component asks for is read from it.

use std::{borrow::Cow, fmt::Debug};

use serde::Deserialize;
use wasm_encoder::{CustomSection, Section as _};
use wasm_metadata::{AddMetadata, AddMetadataField};
use wit_component::ComponentEncoder;

use crate::policy::{
    sections::{EXAMPLES, SETTINGS_SCHEMA, SectionError, Sections},
    shape::{Shape, ShapeError},
    stranger::caught,
};

/// A policy's component.
#[derive(Debug)]
pub(super) struct Component {
    pub(super) bytes: Vec<u8>,
    /// The interfaces whose functions it calls.
    pub(super) imports: Vec<String>,
}

/// What is written into a component for people: what its project's manifest says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct About {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) description: Option<String>,
    /// SPDX expression.
    pub(super) license: Option<String>,
}

/// Why a module is not a policy: its author's fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// It calls something that no policy is given.
    #[error(
        "it imports {}; a policy may import nothing but herald:policy (no files, clocks, randomness, network): \
         find the dependency that asks for it",
        .0.join(", ")
    )]
    ForeignImports(Vec<String>),
    /// What its manifest says of it has another form in a component.
    #[error("its {field} cannot be written into a component")]
    Metadata {
        /// The key in the manifest.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It is no component, or exports no contract.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// What it carries about itself would keep it from loading.
    #[error(transparent)]
    Sections(#[from] SectionError),
    /// It is not a module that a component can be made of. Imports that no component knows end here.
    #[error("no component can be made of it")]
    Module(#[source] Box<dyn std::error::Error + Send + Sync>),
}

const PACKAGE: &str = "herald:policy/";

/// What a language's toolchain has made of a policy.
#[derive(Clone, Debug)]
pub(super) enum Code {
    /// A core module that says which interfaces it has; what else it imports, an adapter gives it.
    Module {
        /// The module.
        bytes: Vec<u8>,
        /// Another module, by the name under which the first one imports from it.
        adapter: Option<(&'static str, Vec<u8>)>,
    },
    /// A component already.
    Component(Vec<u8>),
}

/// Wraps a module, checks that it is a policy and writes into it what it is and what `sections` say.
pub(super) fn component(code: Code, about: &About, sections: &Sections<'_>) -> Result<Component, EncodeError> {
    let bytes = code.into_component()?;
    let imports = check(&bytes)?;
    let mut bytes = about.add_to(&bytes)?;
    for (name, data) in [(SETTINGS_SCHEMA, sections.schema), (EXAMPLES, sections.examples)] {
        if let Some(data) = data {
            CustomSection { name: Cow::from(name), data: Cow::from(data) }.append_to(&mut bytes);
        }
    }
    // Read back as the server will: what it would refuse is refused here.
    let sections = Sections::of(&bytes)?;
    sections.schema()?;
    sections.examples()?;
    Ok(Component { bytes, imports })
}

// === impl About ===

impl About {
    fn add_to(&self, component: &[u8]) -> Result<Vec<u8>, EncodeError> {
        let mut metadata = AddMetadata::default();
        metadata.name = AddMetadataField::Set(self.name.clone());
        metadata.version = field("version", &self.version)?;
        if let Some(description) = &self.description {
            metadata.description = field("description", description)?;
        }
        if let Some(license) = &self.license {
            metadata.licenses = field("license", license)?;
        }
        made(|| metadata.to_wasm(component))
    }
}

/// The value of `field` as the component has it.
fn field<T>(field: &'static str, text: &str) -> Result<AddMetadataField<T>, EncodeError>
where
    T: std::str::FromStr<Err = anyhow::Error> + Debug + Clone,
{
    let value = text.parse().map_err(|error: anyhow::Error| EncodeError::Metadata { field, source: error.into() })?;
    Ok(AddMetadataField::Set(value))
}

// === impl Code ===

impl Code {
    fn into_component(self) -> Result<Vec<u8>, EncodeError> {
        match self {
            Self::Module { bytes, adapter } => made(|| {
                let mut encoder = ComponentEncoder::default().validate(true).module(&bytes)?;
                if let Some((name, adapter)) = adapter {
                    encoder = encoder.adapter(name, &adapter)?;
                }
                encoder.encode()
            }),
            Self::Component(bytes) => Ok(bytes),
        }
    }
}

/// The imports of a component that is a policy.
fn check(component: &[u8]) -> Result<Vec<String>, EncodeError> {
    let Shape { imports, .. } = Shape::of(component)?;
    let foreign: Vec<_> = imports.iter().filter(|name| !name.starts_with(PACKAGE)).cloned().collect();
    if foreign.is_empty() { Ok(imports) } else { Err(EncodeError::ForeignImports(foreign)) }
}

/// What a library makes of somebody's bytes: of some it holds that there are none, and panics.
fn made(make: impl FnOnce() -> anyhow::Result<Vec<u8>>) -> Result<Vec<u8>, EncodeError> {
    let made = caught(make).map_err(|why| EncodeError::Module(why.into()))?;
    made.map_err(|error| EncodeError::Module(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::stranger::tests::instances_of_instances;

    /// What says which interfaces a module has is a component in a section of it.
    #[test]
    fn a_module_that_a_library_panics_over_is_none() {
        let interfaces = instances_of_instances(96);
        let mut bytes = wat::parse_str("(module)").expect("a module");
        CustomSection { name: Cow::from("component-type"), data: Cow::from(interfaces) }.append_to(&mut bytes);
        let about = About { name: "a".to_owned(), version: "1.0.0".to_owned(), description: None, license: None };
        let error = component(Code::Module { bytes, adapter: None }, &about, &Sections::default()).expect_err("none");
        let told = format!("{:#}", anyhow::Error::from(error));
        let expected = "no component can be made of it: the library that reads it panics over it: ";
        assert!(told.starts_with(expected), "{told}");
    }
}
