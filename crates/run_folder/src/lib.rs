//! The run folder: what lies where, and what can be recorded.
//!
//! [`folder`] is the layout, [`manifest`] what a run says about itself and the [`machine`], [`event`] what can happen;
//! [`records`], [`tensorboard`] and [`log`] write it down; [`table`] reads it again.

pub mod event;
pub mod folder;
pub mod log;
pub mod machine;
pub mod manifest;
pub mod memory;
pub mod records;
pub mod table;
pub mod tensorboard;
