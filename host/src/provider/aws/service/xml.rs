//! XML as services answer it: whole documents alone, texts of a bounded length, and error codes as they may be told.

use aws_smithy_xml::decode::{Document, ScopedDecoder, XmlDecodeError, try_data};

/// Longest error code passed on.
const MAX_CODE: usize = 64;

/// Whether all of `text` is there, up to the end of its element `root`: the decoder takes a document that breaks off for one that
/// ends.
pub(in crate::provider::aws) fn check_whole(text: &str, root: &str) -> Result<(), XmlDecodeError> {
    Document::new(text).try_for_each(|token| token.map(drop))?;
    let is_whole = text.trim_end().ends_with(&format!("</{root}>"));
    if is_whole { Ok(()) } else { Err(XmlDecodeError::custom("it breaks off")) }
}

/// The text of an element, at most `most` bytes.
pub(in crate::provider::aws) fn data(tag: &mut ScopedDecoder<'_, '_>, most: usize) -> Result<String, XmlDecodeError> {
    let text = try_data(tag)?;
    if text.len() > most {
        return Err(XmlDecodeError::custom("too long"));
    }
    Ok(text.into_owned())
}

/// An error code as it may be told: at most 64 letters, digits and dots. `None` of anything else.
pub(in crate::provider::aws) fn as_told(code: String) -> Option<String> {
    let plain = code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    (plain && matches!(code.len(), 1..=MAX_CODE)).then_some(code)
}

/// The error code in an element, as it may be told.
pub(in crate::provider::aws) fn code(tag: &mut ScopedDecoder<'_, '_>) -> Option<String> {
    as_told(data(tag, MAX_CODE).ok()?)
}

/// `ErrorResponse/Error/Code` of the query protocol, as it may be told.
pub(in crate::provider::aws) fn error_code(body: &str) -> Option<String> {
    let mut document = Document::new(body);
    let mut root = document.root_element().ok()?;
    if !root.start_el().matches("ErrorResponse") {
        return None;
    }
    while let Some(mut error) = root.next_tag() {
        if !error.start_el().matches("Error") {
            continue;
        }
        while let Some(mut member) = error.next_tag() {
            if member.start_el().matches("Code") {
                return code(&mut member);
            }
        }
    }
    None
}
