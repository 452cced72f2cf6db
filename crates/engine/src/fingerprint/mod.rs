//! The fingerprint of the training scans, and how a new scan differs from them.
//!
//! A network is only as good as its training scans are like the scan at hand, and nothing in a label map shows that they
//! were not. [`scan`] measures one scan, [`Fingerprint`] summarizes those of the training subjects in the run folder's
//! `fingerprint.json`, and [`compare`] reports what is unusual about a new one.

pub mod compare;
pub mod scan;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use compare::{Difference, DifferenceKind};
pub use scan::{Intensities, Scan};

use crate::experiment::plan::Plan;
use run_folder::folder::{RunError, RunFolder, write_atomically};

/// The name of the file in a run folder.
const FILE: &str = "fingerprint.json";
/// The format of the file that this program writes, and the newest that it reads.
const FORMAT: u32 = 1;

/// A summary of the scans that a network was trained on.
///
/// Axes are those of the patient (right, anterior, superior), whatever the orientation of the files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The format of the file.
    pub format: u32,
    /// The number of training subjects.
    pub subjects: usize,
    /// Millimetres per voxel along each axis of the image files.
    pub spacing_mm: Span<[f64; 3]>,
    /// Voxels along each axis of the image files.
    pub shape: Span<[f64; 3]>,
    /// Millimetres from end to end of the image files.
    pub size_mm: Span<[f64; 3]>,
    /// Millimetres per voxel after preprocessing, as the network sees them.
    pub preprocessed_spacing_mm: Span<[f64; 3]>,
    /// The number of subjects by the orientation in which their files are stored, such as `LPS`.
    pub orientations: BTreeMap<String, usize>,
    /// The channels of the images, in order.
    pub channels: Vec<Channel>,
}

/// The smallest, median and largest value over subjects; of vectors, along each axis by itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Span<T> {
    /// The smallest value.
    pub min: T,
    /// The median; of an even number of values the larger of the two in the middle.
    pub median: T,
    /// The largest value.
    pub max: T,
}

/// One channel of the training images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Channel {
    /// Its name, where the dataset declares one, such as `CT`.
    #[serde(default)]
    pub modality: Option<String>,
    /// The number of subjects whose intensities were measured.
    pub subjects: usize,
    /// Percentiles of the intensities of a subject, by their name such as `99.5`; empty if no subject was measured.
    pub percentiles: BTreeMap<String, Span<f64>>,
    /// The 0.5th percentile as a fraction of the distance from it to the 99.5th: negative where there are negative
    /// intensities, whatever their unit.
    pub offset: Option<Span<f64>>,
    /// The distance from the 0.5th to the 99.5th percentile.
    pub width: Option<Span<f64>>,
}

impl Fingerprint {
    /// Summarizes the training subjects of a plan; `intensities` are those of the channels of the subjects that were
    /// measured. Returns `None` if there are no training subjects.
    pub fn new(plan: &Plan, intensities: &BTreeMap<&str, &[Intensities]>) -> Option<Self> {
        let cases = plan.parts.train.iter().map(|name| &plan.cases[name]);
        let grids: Vec<Scan> = cases.map(|case| Scan::of_grids(&case.grid, &case.outgoing)).collect();
        let vectors = |of: fn(&Scan) -> [f64; 3]| Span::of_vectors(&grids.iter().map(of).collect::<Vec<_>>());
        let mut orientations = BTreeMap::new();
        for scan in &grids {
            *orientations.entry(scan.orientation.clone()).or_insert(0) += 1;
        }
        let channel = |index: usize| {
            let measured: Vec<&Intensities> = intensities.values().filter_map(|channels| channels.get(index)).collect();
            Channel::new(plan.channel_names.get(index).cloned(), &measured)
        };
        Some(Self {
            format: FORMAT,
            subjects: grids.len(),
            spacing_mm: vectors(|scan| scan.spacing_mm)?,
            shape: vectors(|scan| scan.shape.map(|size| size as f64))?,
            size_mm: vectors(Scan::size_mm)?,
            preprocessed_spacing_mm: vectors(|scan| scan.preprocessed_spacing_mm)?,
            orientations,
            channels: (0..plan.channels).map(channel).collect(),
        })
    }

    /// Writes `fingerprint.json` into a run folder.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, folder: &RunFolder) -> Result<(), RunError> {
        let text = serde_json::to_string_pretty(self).expect("a fingerprint is plain data") + "\n";
        write_atomically(&folder.file(FILE), text.as_bytes())
    }

    /// Reads `fingerprint.json`; returns `None` if the run folder has none that this version reads, as those of earlier
    /// versions.
    pub fn read(root: &Path) -> Option<Self> {
        let fingerprint: Self = serde_json::from_slice(&std::fs::read(root.join(FILE)).ok()?).ok()?;
        (fingerprint.format <= FORMAT).then_some(fingerprint)
    }
}

impl Channel {
    fn new(modality: Option<String>, measured: &[&Intensities]) -> Self {
        let span = |of: &dyn Fn(&Intensities) -> f64| Span::of(measured.iter().map(|subject| of(subject)).collect());
        let percentiles = scan::PERCENTILES.iter().enumerate();
        let percentiles = percentiles
            .filter_map(|(index, percent)| Some((percent.to_string(), span(&|subject| subject.percentiles[index])?)));
        Self {
            modality,
            subjects: measured.len(),
            percentiles: percentiles.collect(),
            offset: Span::of(measured.iter().filter_map(|subject| subject.offset()).collect()),
            width: span(&Intensities::width),
        }
    }
}

impl Span<f64> {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        Some(Self { min: *values.first()?, median: values[values.len() / 2], max: *values.last()? })
    }
}

impl Span<[f64; 3]> {
    fn of_vectors(vectors: &[[f64; 3]]) -> Option<Self> {
        let axes = [0, 1, 2].map(|axis| Span::of(vectors.iter().map(|vector| vector[axis]).collect()));
        let [x, y, z] = [axes[0]?, axes[1]?, axes[2]?];
        let along = |of: fn(Span<f64>) -> f64| [of(x), of(y), of(z)];
        Some(Self { min: along(|span| span.min), median: along(|span| span.median), max: along(|span| span.max) })
    }
}
