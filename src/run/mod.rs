//! The run folder: what lies where, and what can be recorded.

pub mod event;
