//! The command's output, from decisions made without a network.
