//! Rules of which the first that fits decides, found among thousands without looking at all of them.

/// Rules in order, each kept under the keys that it can be found by.
///
/// Whoever looks for a rule names the keys of all rules that may fit; of those under them, and of no others, the first
/// that does fit is found. Made in [`configure`](crate::Policy::configure), it costs a decision the few
/// places of memory that it looks at, however many rules there are.
///
/// ```
/// use herald_policy::{Key, Rules};
///
/// // What fits every role is found by a key that every caller asks with.
/// let key = |role: &Option<&str>| role.map_or(Key::NONE, |role| Key::NONE.and(role));
/// let rules = Rules::new(vec![Some("Dev"), None, Some("Admin")], |role| vec![key(role)]);
/// let first = |role: &str| {
///     let fits = |wanted: &Option<&str>| wanted.is_none_or(|wanted| wanted == role);
///     rules.first(&[Key::NONE.and(role), Key::NONE], fits).map(|(place, _)| place)
/// };
/// assert_eq!((first("Dev"), first("Admin")), (Some(0), Some(1)));
/// ```
#[derive(Clone, Debug)]
pub struct Rules<R> {
    rules: Vec<R>,
    /// Each key of a rule and the rule's place, bucket after bucket, in the order of rules within each.
    kept: Vec<(Key, usize)>,
    /// Where in `kept` each bucket begins, and where the last one ends; one more than a power of two.
    starts: Vec<usize>,
}

/// What a rule is found by: some words, in order, e.g. an account and a role.
///
/// It is 32 bits (FNV-1a), the same in every build, so different words may have one key by chance.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Key(u32);

// === impl Rules ===

impl<R> Rules<R> {
    /// Keeps each rule under what `keys` gives for it; one without keys is never found.
    #[must_use]
    pub fn new(rules: Vec<R>, keys: impl Fn(&R) -> Vec<Key>) -> Self {
        let mut pairs = Vec::new();
        for (place, rule) in rules.iter().enumerate() {
            pairs.extend(keys(rule).into_iter().map(|key| (key, place)));
        }
        let starts = vec![0; pairs.len().next_power_of_two() + 1];
        let mut found = Self { rules, kept: pairs.clone(), starts };
        // How many there are in each bucket, then where each ends, then, filled from behind, where it begins.
        for (key, _) in &pairs {
            let bucket = found.bucket(*key);
            found.starts[bucket] += 1;
        }
        let mut end = 0;
        for start in &mut found.starts {
            end += *start;
            *start = end;
        }
        for pair in pairs.into_iter().rev() {
            let bucket = found.bucket(pair.0);
            found.starts[bucket] -= 1;
            let start = found.starts[bucket];
            found.kept[start] = pair;
        }
        found
    }

    /// The first rule, with its place, that is kept under one of `keys` and fits.
    ///
    /// `fits` is the whole question: it may be asked about a rule with other words, whose key is the same by chance.
    pub fn first(&self, keys: &[Key], fits: impl Fn(&R) -> bool) -> Option<(usize, &R)> {
        let mut first = None;
        for key in keys {
            let bucket = self.bucket(*key);
            for (kept, place) in &self.kept[self.starts[bucket]..self.starts[bucket + 1]] {
                if first.is_some_and(|(first, _)| first <= *place) {
                    break;
                }
                if kept == key && fits(&self.rules[*place]) {
                    first = Some((*place, &self.rules[*place]));
                }
            }
        }
        first
    }

    fn bucket(&self, key: Key) -> usize {
        // Their number is a power of two, so these are the key's last bits.
        key.0 as usize & (self.starts.len() - 2)
    }
}

// === impl Key ===

impl Key {
    /// The key of no word.
    pub const NONE: Self = Self(0x811c_9dc5);

    /// The key of one word more. `ab` and `c` have another one than `a` and `bc`.
    #[must_use]
    pub fn and(self, word: &str) -> Self {
        let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        // No text has this byte.
        Self(step(word.bytes().fold(self.0, step), 0xff))
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    #[test]
    fn keys_are_the_same_everywhere() {
        #[track_caller]
        fn check(words: &[&str], expected: u32) {
            assert_eq!(words.iter().fold(Key::NONE, |key, word| key.and(word)), Key(expected));
        }
        check(&[], 0x811c_9dc5);
        check(&["a"], 0xd225_d729);
        assert_ne!(Key::NONE.and("ab").and("c"), Key::NONE.and("a").and("bc"));
        assert_ne!(Key::NONE.and(""), Key::NONE);
    }

    #[test]
    fn no_rules_and_rules_without_keys() {
        assert_eq!(Rules::new(Vec::<u8>::new(), |_| Vec::new()).first(&[Key(7)], |_| true), None);
        assert_eq!(Rules::new(vec![1, 2], |_| Vec::new()).first(&[Key(7)], |_| true), None);
        assert_eq!(Rules::new(vec![1, 2], |_| vec![Key(7)]).first(&[], |_| true), None);
    }

    /// A rule of the test: where it is kept, and whether it fits.
    type Rule = (Vec<u32>, bool);

    fn keys(keys: &[u32]) -> Vec<Key> {
        keys.iter().copied().map(Key).collect()
    }

    proptest! {
        /// Keys of one bucket (a multiple of 64 apart) and of others.
        #[test]
        fn the_first_that_fits_is_found(
            rules in vec((vec(select(vec![0, 1, 2, 64, 65, 128]), 0..3), any::<bool>()), 0..40),
            asked in vec(select(vec![0, 1, 2, 64, 65, 128]), 0..4),
        ) {
            let found = Rules::new(rules.clone(), |rule: &Rule| keys(&rule.0));
            let may = |rule: &Rule| rule.0.iter().any(|key| asked.contains(key));
            let expected = rules.iter().enumerate().find(|(_, rule)| may(rule) && rule.1);
            prop_assert_eq!(found.first(&keys(&asked), |rule| rule.1), expected);
        }
    }
}
