//! Scenarios: real logins through the real `herald` binary. One binary for all of them, so that they
//! link once; one file a subject, named by what must hold.

mod add_remove;
mod alibaba;
mod alibaba_clients;
mod altered;
mod check_config;
mod client_cache;
mod clients;
mod compatibility;
mod configuration;
mod credential_sources;
mod documents;
mod explain;
mod hostile_policies;
mod languages;
mod lifecycle;
mod login;
mod mapping_status;
mod nodes;
mod policies;
mod policy_authors;
mod refusals;
mod reload;
mod secrecy;
mod server_room;
mod setting_up;
mod sharing;
mod sources;
mod sts_in_trouble;
mod support;
