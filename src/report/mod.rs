//! From run folders to tables and pictures.
//!
//! Reads what lies in a run folder and nothing else, so a run from last year still reports.

pub mod plots;
