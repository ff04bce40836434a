//! Any number of callers without a table: the access key names the caller, and the dev STS can work
//! its secret, session token and identity out of it.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{Draft, PREFIX, identity};
use crate::sts::{
    hosts::{self, HostRegion},
    keys::Key,
};

/// The account of every derived caller.
pub const ACCOUNT: &str = "111122223333";

/// A session of one of the derived roles.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Who {
    /// Number of the role; below 36^5.
    pub role: u64,
    /// Number of the session; below 36^8.
    pub session: u64,
    /// Length of its session token: real ones have 300 to 1,200 bytes. Below 36^3.
    pub session_token_len: u64,
}

/// What is wrong with a token.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The right prefix, the rest is no base64.
    Badb64,
    /// Well formed, but for a host that is no STS.
    Badhost,
    /// Well formed, the signature spoiled: only STS can tell.
    Badsig,
    /// Well formed, signed an hour ago.
    Expired,
    /// Well formed, rightly signed, in date.
    Good,
    /// Not a token at all.
    Junk,
}

/// Many tokens of one kind.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// What is wrong with them.
    pub kind: Kind,
    /// How many roles the callers are spread over.
    pub roles: u64,
    /// The number of the first caller's session; the others follow.
    pub first_session: u64,
    /// The STS host they are signed for.
    pub host: &'a str,
    /// The cluster they are signed for.
    pub cluster_id: &'a str,
    /// Length of the session tokens; 0 for none.
    pub session_token_len: u64,
    /// When they are signed.
    pub at: SystemTime,
}

/// A token, and the username that a mapping of every role to its name and the session must give it, if any.
pub type Made = (String, Option<String>);

const PREFIX_OF_IDS: &str = "ASIA";
const ROLE_DIGITS: usize = 5;
const LENGTH_DIGITS: usize = 3;

// === impl Who ===

impl Who {
    /// `ASIA`, the role, the length of the session token and the session, in base 36.
    #[must_use]
    pub fn access_key_id(&self) -> String {
        let role = base36(self.role, ROLE_DIGITS);
        let length = base36(self.session_token_len, LENGTH_DIGITS);
        format!("{PREFIX_OF_IDS}{role}{length}{}", base36(self.session, 8))
    }

    /// What a mapping `ROLE → role-name:{{SessionName}}` gives this caller.
    #[must_use]
    pub fn username(&self) -> String {
        format!("{}:sess-{}", role_name(self.role), self.session)
    }

    /// The key, as the dev STS works it out.
    #[must_use]
    pub fn key(&self) -> Key {
        let id = self.access_key_id();
        let (role, session) = (role_name(self.role), self.session);
        Key {
            secret: format!("derived-secret-of-{id}"),
            session_token: (self.session_token_len > 0).then(|| filler(&id, self.session_token_len)),
            identity: identity(
                ACCOUNT,
                format!("arn:aws:sts::{ACCOUNT}:assumed-role/{role}/sess-{session}"),
                format!("AROADERIVED{:010}:sess-{session}", self.role),
            ),
            id,
            expires_at: None,
        }
    }
}

/// The name of a derived role.
#[must_use]
pub fn role_name(role: u64) -> String {
    format!("bench-role-{role:06}")
}

/// The key behind a derived access key id; `None` for ids that are none.
#[must_use]
pub fn derived_key(id: &str) -> Option<Key> {
    let rest = id.strip_prefix(PREFIX_OF_IDS).filter(|rest| rest.len() == 16 && rest.is_ascii())?;
    let number = |text: &str| u64::from_str_radix(text, 36).ok();
    let (role, rest) = rest.split_at(ROLE_DIGITS);
    let (length, session) = rest.split_at(LENGTH_DIGITS);
    let who = Who { role: number(role)?, session: number(session)?, session_token_len: number(length)? };
    // Temporary keys and people's keys have ids of the same form: a derived token is never this long.
    (who.session_token_len <= MAX_SESSION_TOKEN).then(|| who.key())
}

const MAX_SESSION_TOKEN: u64 = 2_048;

// === impl Batch ===

impl Batch<'_> {
    /// Makes `count` tokens, each of a session of its own, and the username each should get.
    #[must_use]
    pub fn tokens(&self, count: usize) -> Vec<Made> {
        let who = |index: u64| Who {
            // Roles are taken all over the table, not from its start.
            role: index.wrapping_mul(7919) % self.roles.max(1),
            session: self.first_session + index,
            session_token_len: self.session_token_len,
        };
        (0..count as u64).map(|index| self.token(who(index))).collect()
    }

    fn token(&self, who: Who) -> Made {
        let at = if self.kind == Kind::Expired { self.at - Duration::from_secs(3600) } else { self.at };
        let mut draft = Draft::of_key(&who.key(), self.cluster_id, at);
        self.host.clone_into(&mut draft.host);
        if let Some(HostRegion::Of(region)) = hosts::region(self.host) {
            region.clone_into(&mut draft.region);
        }
        let seed = who.access_key_id();
        match self.kind {
            Kind::Good => (draft.token(), Some(who.username())),
            Kind::Expired => (draft.token(), None),
            Kind::Badhost => {
                "sts.example.com".clone_into(&mut draft.host);
                (draft.token(), None)
            }
            Kind::Badsig => {
                let signed = draft.sign();
                let flipped = flip_last(signed.find("X-Amz-Signature").unwrap_or_default());
                (signed.with("X-Amz-Signature", &flipped).token(), None)
            }
            Kind::Badb64 => (format!("{PREFIX}!!{}", filler(&seed, 600)), None),
            Kind::Junk => (filler(&seed, 600), None),
        }
    }
}

fn flip_last(signature: &str) -> String {
    let (head, last) = signature.split_at(signature.len().saturating_sub(1));
    format!("{head}{}", if last == "0" { "1" } else { "0" })
}

/// `number` in upper-case base 36, its last `digits` digits.
pub(super) fn base36(mut number: u64, digits: usize) -> String {
    let mut text = vec![b'0'; digits];
    for slot in text.iter_mut().rev() {
        *slot = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[(number % 36) as usize];
        number /= 36;
    }
    String::from_utf8(text).expect("ASCII digits")
}

/// Text that looks like base64: always the same for a seed, distinct between seeds.
pub(super) fn filler(seed: &str, length: u64) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut state = seed
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
        | 1;
    let next = || {
        // Xorshift (Marsaglia, 2003): quick, and good enough to look random.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(ALPHABET[(state >> 40) as usize % 64])
    };
    std::iter::repeat_with(next).take(usize::try_from(length).unwrap_or(0)).collect()
}
