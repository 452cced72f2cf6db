//! Unifies the features of shared dependencies; see `Cargo.toml`.
