//! From YAML to a plan.
//!
//! [`load`](mod@load) parses an experiment file into its [`spec`], [`check`](mod@check) validates it together with the
//! headers of its data, and only `check` makes a [`plan`](mod@plan). A [`problem`] has the source location that caused it.

pub mod change;
pub mod check;
pub mod keys;
mod label_names;
pub mod load;
pub mod manual;
pub mod median_spacing;
pub mod merge;
pub mod metrics_file;
mod other_choice;
mod parse_error;
pub mod plan;
mod plan_text;
pub mod problem;
mod reference;
mod removed;
pub mod schema;
pub mod spec;
mod syntax;
pub mod targets;
pub mod tree;
pub mod typed;
