//! Server: HTTP, TLS, health and drain around an authenticator.
