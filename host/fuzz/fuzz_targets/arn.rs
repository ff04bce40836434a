//! ARNs: whatever is read is written as it was read, and its canonical form reads as itself.
#![no_main]

use herald::caller::Arn;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(arn) = text.parse::<Arn>() else { return };
    assert_eq!(arn.to_string(), text);
    let canonical = arn.canonical();
    let again: Arn = canonical.parse().expect("a canonical ARN is an ARN");
    assert_eq!(again.canonical(), canonical);
    assert_eq!(again.account_id(), arn.account_id());
});
