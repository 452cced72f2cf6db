//! One experiment with alternatives -> many runs.
//!
//! [`document`] is what a person writes, [`points`] the runs that it names, each with the hash of its
//! resolved experiment as its id. Everything that several processes have to agree on lies in files:
//! [`folder`] is their layout, [`claim`] sees to it that each run is taken by one process only, and
//! [`run_state`] reads where every run stands. [`local`], [`slurm`] and [`kubernetes`] start processes
//! that each train one run; [`prune`] ends runs that fall behind.

pub mod claim;
pub mod document;
pub mod draw;
pub mod estimate;
mod factors;
pub mod folder;
pub mod kubernetes;
pub mod local;
pub mod points;
mod process;
pub mod prune;
pub mod run_state;
pub mod slurm;
