//! Whole commands in a temporary folder, as a person types them.

mod browser;
mod cache;
mod folders;
mod page;
mod patches;
mod place;
mod report;
mod run;
mod slurm;
mod sweep;
mod view;
