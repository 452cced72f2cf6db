//! What will be run: defaults filled, paths resolved, shapes agreed, files seen.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::experiment::Experiment;
use crate::data::split::Parts;
use crate::data::subject::Subject;
use crate::data::volume::{Grid, Label};
use crate::model::device::DeviceName;

/// A checked experiment. Only [`check`](super::check::check) makes one, so nothing unchecked can reach a device.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The document with every default filled in; running it is the same run.
    pub experiment: Experiment,
    /// The folder of its runs below the runs folder.
    pub name: String,
    /// Where the network runs; never `auto`.
    pub device: DeviceName,
    /// The labels above background, by rising value; class `k + 1` of the network is `labels[k]`.
    pub labels: Vec<ClassLabel>,
    /// Every subject of any part, by name.
    pub cases: BTreeMap<String, Case>,
    /// Which subjects train, validate and test.
    pub parts: Parts,
    /// Image channels.
    pub channels: usize,
    /// The patch's shape in voxels.
    pub patch: [usize; 3],
    /// The window's shape in voxels at inference.
    pub window: [usize; 3],
    /// Patches of one epoch.
    pub patches_per_epoch: usize,
    /// Optimiser steps of one epoch.
    pub steps_per_epoch: usize,
    /// Weights that training changes.
    pub num_parameters: usize,
    /// An estimate of the memory that training takes, in bytes.
    pub memory_bytes: u64,
    /// What could be wrong, in plain sentences.
    pub warnings: Vec<String>,
}

/// A label and the name of its columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassLabel {
    /// Its value in label maps.
    pub value: Label,
    /// Its name: lower case, spaces turned to `_`.
    pub name: String,
}

/// A subject and what its headers say.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name and files.
    pub subject: Subject,
    /// The grid of its image file.
    pub grid: Grid,
    /// The grid after the preprocess chain.
    pub outgoing: Grid,
}

impl Plan {
    /// Classes of the network: the labels and the background.
    pub fn num_classes(&self) -> usize {
        self.labels.len() + 1
    }

    /// Optimiser steps of the whole run.
    pub fn num_steps(&self) -> usize {
        self.steps_per_epoch * self.experiment.train.epochs.get()
    }
}
