//! Proof against real Kubernetes: unmodified kubectl, `herald token` as its plugin, a real API server that asks a real
//! `herald server`, and the dev STS behind that. One file a subject, named by what must hold.
//!
//! API server and kubectl are built from the libraries of Kubernetes by `tests/tools/kubernetes`, which needs Go.

mod alibaba;
mod cluster;
mod commands;
mod control_plane;
mod edits;
mod kubectl;
mod login;
mod nodes;
mod plugin;
mod refusals;
mod rotation;
mod world;
