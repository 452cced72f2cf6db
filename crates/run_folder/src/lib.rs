//! The run folder: its layout, and the records of a run.
//!
//! [`folder`] is the layout, [`manifest`] describes a run and its [`machine`], [`event`] lists the events of a run;
//! [`records`], [`tensorboard`] and [`log`] write them to files; [`table`] reads the CSV files. [`plan_keys`] lists the keys
//! of a plan that do not affect results.

pub mod event;
pub mod folder;
pub mod log;
pub mod machine;
pub mod manifest;
pub mod memory;
pub mod plan_keys;
pub mod records;
pub mod table;
pub mod tensorboard;
