//! Sweeps: one experiment with alternatives, many runs.
//!
//! [`document`] is the sweep file; [`points`] are the runs that it describes, each identified by the hash of its
//! resolved experiment. Processes coordinate through files only: [`folder`] is their layout, [`claim`] ensures that
//! each run is trained by one process, and [`run_state`] reads the state of every run. The [`launch`]ers start
//! processes that each train one run; [`prune`] stops runs that fall behind.

pub mod claim;
pub mod distribution;
pub mod document;
pub mod estimate;
mod factors;
pub mod folder;
pub mod launch;
pub mod points;
pub mod prune;
pub mod run_state;
