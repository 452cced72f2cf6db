//! Whole commands in a temporary folder, as a person types them.

mod browser;
mod cache;
mod doctor;
mod evaluate;
mod folders;
mod page;
mod patches;
mod place;
mod predict;
mod report;
mod run;
mod slurm;
mod sweep;
mod view;
