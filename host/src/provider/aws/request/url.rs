//! URLs of tokens: `https://<host>/?<query>` and nothing else.
//!
//! This is deliberately no URL parser. Two parsers that disagree about userinfo, ports, fragments, dots
//! or backslashes are how a checked request becomes another one; a grammar with one reading has none of them.

use super::InvalidToken;

const SCHEME: &[u8] = b"https://";

/// The host, and the query for decoding in place.
pub(super) fn split(url: &mut [u8]) -> Result<(&str, &mut [u8]), InvalidToken> {
    check_characters(url)?;
    if !url.starts_with(SCHEME) {
        return Err(InvalidToken::Scheme);
    }
    let rest = &mut url[SCHEME.len()..];
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at_mut(end);
    if authority.contains(&b'@') {
        return Err(InvalidToken::UrlUserinfo);
    }
    if authority.contains(&b':') {
        return Err(InvalidToken::UrlPort);
    }
    let query = match rest {
        [b'/', b'?', query @ ..] if !query.is_empty() => query,
        [b'/'] | [b'/', b'?'] => return Err(InvalidToken::QueryMissing),
        _ => return Err(InvalidToken::Path),
    };
    let host = std::str::from_utf8(authority).map_err(|_| InvalidToken::UrlCharacter)?;
    Ok((host, query))
}

fn check_characters(url: &[u8]) -> Result<(), InvalidToken> {
    // Looking at all bytes whatever they are is what compilers turn into looking at many at a time.
    let is_good = |byte: u8| byte.is_ascii_graphic() & (byte != b'\\') & (byte != b'#');
    if url.iter().fold(true, |good, byte| good & is_good(*byte)) {
        return Ok(());
    }
    for byte in url {
        match byte {
            b'\\' => return Err(InvalidToken::UrlBackslash),
            b'#' => return Err(InvalidToken::UrlFragment),
            byte if !byte.is_ascii_graphic() => return Err(InvalidToken::UrlCharacter),
            _ => {}
        }
    }
    Ok(())
}
