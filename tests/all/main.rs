//! Scenarios: real logins through the real `herald` binary, one integration test binary for all.
