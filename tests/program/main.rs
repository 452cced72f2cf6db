//! Whole commands in a temporary folder, as a person types them.

mod browser;
mod cache;
mod doctor;
mod evaluate;
mod exact;
mod faults;
mod folders;
mod page;
mod parity;
mod patches;
mod place;
mod predict;
mod report;
mod reproduce;
mod run;
mod slurm;
mod sweep;
mod view;
