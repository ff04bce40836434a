//! Proof against real Kubernetes: unmodified kubectl, `herald token` as its plugin, a real API server that asks a real
//! `herald server`, and the dev STS behind that. One file a subject, named by what must hold.
//!
//! API server, kubectl and what else is asked here are built from the libraries of Kubernetes by `tests/tools/kubernetes`,
//! which needs Go.

mod alibaba;
mod authenticator;
mod cluster;
mod commands;
mod control_plane;
mod edits;
mod exec_plugin;
mod guides;
mod kubectl;
mod login;
mod nodes;
mod outages;
mod plugin;
mod refusals;
mod rotation;
mod wire;
mod world;
