//! A declarative experiment runner for 3D medical image segmentation.
//!
//! An experiment is a file. Reading the file tells what will happen; the run folder tells what did.
//! Everything between the two is plain functions over plain data, in the order they happen. The
//! modules below stand in the order in which one should read them; each imports only from above.

mod trusted;

pub mod value;

pub mod elementary;

pub mod seed;

pub mod data;

pub mod components;

pub mod transforms;

pub mod model;

pub mod loss;

pub mod metrics;

pub mod optim;

pub mod pipeline;

pub mod sampling;

pub mod queue;

pub mod run;

pub mod infer;

pub mod view;

pub mod doctor;

pub mod spec;

pub mod train;

pub mod sweep;

pub mod report;

pub mod cli;
