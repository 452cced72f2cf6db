//! A plan in plain text, for readers who know scans rather than networks.

use crate::fingerprint::{DatasetFingerprint, SubjectFingerprint};
use crate::normalization::Normalization;
use crate::orientation::Orientation;
use crate::plan::{Configuration, DatasetPlan, LOW_RESOLUTION_BELOW};
use crate::preset::{Encoder, MIN_BATCH};
use crate::quantile::median;
use crate::writer::DataSection;
use values::format_number;

/// The maximum length of a line.
const WIDTH: usize = 100;

/// Returns the reasons for a plan, one paragraph for each decision.
pub fn explain(data: &DataSection, fingerprint: &DatasetFingerprint, plan: &DatasetPlan) -> String {
    let explained = Explained { data, fingerprint, plan };
    let mut sections = vec![
        ("The scans", explained.scans()),
        ("Voxel size", explained.spacing()),
        ("Intensities", explained.intensities()),
        ("Orientation", explained.orientation()),
    ];
    if let Some(full) = &plan.full {
        sections.push(("3d_fullres: whole scans, in 3-D patches", explained.configuration(full, false)));
    }
    sections.push(("Is a low-resolution stage needed?", explained.cascade()));
    if let Some(low) = &plan.low {
        sections.push(("3d_lowres: whole scans, at a lower resolution", explained.configuration(low, false)));
    }
    sections.push(("2d: slice by slice", explained.configuration(&plan.slices, true)));
    let heading =
        format!("Plan for {}, preset {} ({} of nnU-Net 2.8.1)\n", data.name, plan.preset, plan.preset.planner());
    let sections = sections.into_iter().map(|(title, text)| format!("\n{title}\n{}", wrapped(&text)));
    std::iter::once(heading).chain(sections).collect()
}

struct Explained<'a> {
    data: &'a DataSection,
    fingerprint: &'a DatasetFingerprint,
    plan: &'a DatasetPlan,
}

impl Explained<'_> {
    fn scans(&self) -> String {
        let subjects = &self.fingerprint.subjects;
        let kept = 100.0 * self.fingerprint.median_relative_size_after_cropping;
        let crop = if kept > 99.5 {
            "There is no empty margin to cut off.".to_owned()
        } else {
            format!(
                "Margins where every channel is 0 are cut off; {} % of the median scan remains, {} voxels.",
                format_number(kept),
                self.median_of(|subject| subject.shape_after_crop.map(|size| size as f64))
            )
        };
        let noun = if subjects.len() == 1 { "scan was" } else { "scans were" };
        format!(
            "{} {noun} read. The median scan has {} voxels of {} mm. {crop}",
            subjects.len(),
            self.median_of(|subject| subject.shape.map(|size| size as f64)),
            self.median_of(|subject| subject.spacing_mm),
        )
    }

    /// Formats the medians of values along the axes of the experiments.
    fn median_of(&self, values: impl Fn(&SubjectFingerprint) -> [f64; 3]) -> String {
        let along = |axis: usize| -> Vec<f64> {
            self.fingerprint.subjects.iter().map(|subject| values(subject)[axis]).collect()
        };
        let medians: [f64; 3] = std::array::from_fn(|axis| median(&along(axis)));
        triple(self.data.orientation.oriented(medians))
    }

    fn spacing(&self) -> String {
        let target = &self.plan.target;
        let spacing = triple(self.data.orientation.oriented(target.spacing_mm));
        let along = |axis: usize| self.fingerprint.subjects.iter().map(move |subject| subject.spacing_mm[axis]);
        let is_same = (0..3).all(|axis| along(axis).all(|mm| mm == target.spacing_mm[axis]));
        let median_shape = triple(self.data.orientation.oriented(self.plan.median_shape));
        match target.anisotropic_axis {
            _ if is_same => format!("All scans have voxels of {spacing} mm, so none is resampled."),
            None => format!(
                "Networks count voxels, not millimetres, so all scans are resampled to the same voxel size: {spacing} mm, the \
                 median of the scans. Smaller voxels would show no more and cost memory; larger ones would lose detail. The \
                 median scan then has {median_shape} voxels."
            ),
            Some(axis) => {
                let (low, high) =
                    along(axis).fold((f64::INFINITY, 0.0_f64), |(low, high), mm| (low.min(mm), high.max(mm)));
                format!(
                    "All scans are resampled to voxels of {spacing} mm. The slices are more than three times as thick as their \
                     pixels are large: {} mm in the median, {} to {} mm in all. Resampling thin slices to thick ones would \
                     lose much of what they show, so slices become as thin as those of the thinnest tenth of the scans. The \
                     median scan then has {median_shape} voxels.",
                    format_number(target.median_mm[axis]),
                    format_number(low),
                    format_number(high),
                )
            }
        }
    }

    fn intensities(&self) -> String {
        let each = self.plan.normalization.iter().zip(&self.plan.uses_mask).enumerate();
        let sentences = each.map(|(channel, (scheme, is_masked))| {
            let name = self.data.channel_name(channel);
            let numbers = self.fingerprint.channels.get(channel);
            match scheme {
                Normalization::Ct => {
                    let numbers = numbers.map(|numbers| {
                        format!(
                            " to {} to {}, the range of 99 % of the labelled voxels of all scans; then their mean, {}, is \
                             subtracted and the result divided by their standard deviation, {}",
                            format_number(numbers.percentile_00_5),
                            format_number(numbers.percentile_99_5),
                            format_number(numbers.mean),
                            format_number(numbers.std)
                        )
                    });
                    format!(
                        "{name} is measured in units that mean the same in every scan, so all scans are treated alike: values \
                         are clipped{}.",
                        numbers.unwrap_or_default()
                    )
                }
                Normalization::ZScore if *is_masked => format!(
                    "{name} has no fixed unit, so each scan is normalized by itself: minus its mean, divided by its standard \
                     deviation, both of the voxels that are not 0, since more than a quarter of the median scan is empty."
                ),
                Normalization::ZScore => format!(
                    "{name} has no fixed unit, so each scan is normalized by itself: minus its mean, divided by its standard \
                     deviation."
                ),
                Normalization::RescaleTo01 => format!("{name}: the range of each scan is mapped to 0 to 1."),
                Normalization::RgbTo01 => format!("{name} is divided by 255."),
                Normalization::None => format!("{name} is used as it is."),
            }
        });
        sentences.collect::<Vec<_>>().join(" ")
    }

    fn orientation(&self) -> String {
        match &self.data.orientation {
            Orientation::Reorient(order) if *order == [0, 1, 2] => {
                "All files have the same axis order, so scans are read into RAS orientation (x to the patient's right, y to \
                 the front, z to the head). Sizes here are in the order x, y, z."
                    .to_owned()
            }
            Orientation::Reorient(_) => {
                "All files have the same axis order, which is not right, anterior, superior. Scans are read into that \
                 orientation, and sizes here are in the order x (right), y (anterior), z (superior)."
                    .to_owned()
            }
            Orientation::RequireRas => "Scans must be in RAS orientation, as the experiment says.".to_owned(),
            Orientation::Stored if Orientation::of(self.fingerprint) != Orientation::Stored => {
                "Scans are used in the axis order of their files, as the experiment says.".to_owned()
            }
            Orientation::Stored => {
                "The files have different axis orders. nnU-Net does not reorient scans, so they are used as they are stored; \
                 sizes here are in the order of the stored axes. A scan in another axis order than the training scans is \
                 segmented less well. If you can, convert the files to one orientation and plan again."
                    .to_owned()
            }
        }
    }

    fn configuration(&self, planned: &Configuration, is_2d: bool) -> String {
        let configuration = self.data.orientation.applied_to(planned);
        let what = if is_2d { "slice" } else { "scan" };
        let axes: Vec<usize> = (0..3).filter(|axis| configuration.spacing_mm[*axis].is_some()).collect();
        let joined = |values: &dyn Fn(usize) -> f64| {
            axes.iter().map(|axis| format_number(values(*axis))).collect::<Vec<_>>().join(" x ")
        };
        let mm = |axis: usize| configuration.spacing_mm[axis].unwrap_or(0.0);
        let patch = joined(&|axis| configuration.patch[axis] as f64);
        let size = joined(&|axis| configuration.patch[axis] as f64 * mm(axis));
        let covered = format_number(100.0 * configuration.covered());
        let resolution = if self.plan.low.as_ref() == Some(planned) {
            format!("Voxels have {} mm. ", joined(&mm))
        } else {
            String::new()
        };
        format!(
            "{resolution}The network sees patches of {patch} voxels ({size} mm), {covered} % of the median {what}. {} {} {}",
            self.batch(&configuration, what),
            self.memory(&configuration),
            self.network(&configuration),
        )
    }

    fn batch(&self, configuration: &Configuration, what: &str) -> String {
        let batch = configuration.batch;
        let size = batch.size as i64;
        let reason = if batch.fits.min(batch.of_dataset) < MIN_BATCH {
            format!("never less than {MIN_BATCH}, so that a step does not depend on one {what} alone")
        } else if batch.fits <= batch.of_dataset {
            "as many as fit into the memory".to_owned()
        } else {
            let percent = format_number(100.0 * self.plan.preset.max_batch_fraction());
            format!("{} would fit, but a step should see at most {percent} % of the voxels of all {what}s", batch.fits)
        };
        format!("Each training step takes {size} of them: {reason}.")
    }

    fn memory(&self, configuration: &Configuration) -> String {
        format!(
            "Training takes {} GB of GPU memory by nnU-Net's estimate; {} GB were allowed.",
            configuration.batch.memory_text(),
            self.plan.memory_gb
        )
    }

    fn network(&self, configuration: &Configuration) -> String {
        let kind = match self.plan.preset.encoder() {
            Encoder::Plain => "a U-Net",
            Encoder::Residual => "a U-Net with a residual encoder",
        };
        let flat = configuration.strides.iter().skip(1).take_while(|stride| stride.contains(&1)).count();
        let is_2d = configuration.spacing_mm.contains(&None);
        let thick = match flat {
            _ if is_2d => String::new(),
            0 => String::new(),
            1 => " The first step down halves only the axes with small voxels, since slices are thick.".to_owned(),
            _ => format!(" The first {flat} steps down halve only the axes with small voxels, since slices are thick."),
        };
        format!(
            "The network is {kind} with {} levels: it looks at the patch at full resolution, then at half of it, and so on, \
             with {} to {} features per voxel.{thick}",
            configuration.widths.len(),
            configuration.widths[0],
            configuration.widths.last().copied().unwrap_or(0),
        )
    }

    fn cascade(&self) -> String {
        let threshold = format_number(100.0 * LOW_RESOLUTION_BELOW);
        let Some(full) = &self.plan.full else {
            return "No: the scans have one slice, so there is no 3-D configuration.".to_owned();
        };
        let voxels = |shape: [f64; 3]| shape.into_iter().product::<f64>();
        let fraction = voxels(full.patch.map(|size| size as f64)) / voxels(full.median_shape);
        let share = format_number(100.0 * fraction);
        match &self.plan.low {
            Some(_) => format!(
                "Yes: a patch at full resolution has only {share} % of the voxels of the median scan, less than {threshold} %, \
                 so the network cannot see where in the body a structure is. A second network sees more at a lower \
                 resolution (3d_lowres); in a cascade (3d_cascade_fullres), its result guides one at full resolution."
            ),
            None if fraction < LOW_RESOLUTION_BELOW => format!(
                "No: a patch has only {share} % of the voxels of the median scan, but a lower resolution at which it would have \
                 {threshold} % is too similar, with more than half of the voxels, or leaves no voxel along an axis."
            ),
            None if fraction >= 1.0 => "No: a patch at full resolution is as large as the median scan.".to_owned(),
            None => format!(
                "No: a patch at full resolution has {share} % of the voxels of the median scan, at least {threshold} %."
            ),
        }
    }
}

fn triple(values: [f64; 3]) -> String {
    values.map(format_number).join(" x ")
}

/// Wraps a paragraph, with two spaces before each line.
fn wrapped(text: &str) -> String {
    let (mut lines, mut line) = (String::new(), String::from(" "));
    for word in text.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines += &format!("{line}\n");
            line = String::from(" ");
        }
        line += &format!(" {word}");
    }
    lines + &line + "\n"
}
