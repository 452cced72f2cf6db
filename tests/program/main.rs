//! Commands of the program, run in a temporary folder.

mod arguments;
mod browser;
mod cache;
mod compare;
mod data;
mod doctor;
mod evaluate;
mod exact;
mod export;
mod faults;
mod fine_tuning;
mod finite;
mod folders;
mod page;
mod parity;
mod patches;
mod predict;
mod report;
mod reproduce;
mod run;
mod slurm;
mod storage;
mod sweep;
mod targets;
mod test_dir;
mod view;
