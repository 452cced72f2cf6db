//! Predicting one case: its label map, its probabilities and its record.

use std::path::Path;
use std::time::Instant;

use super::outputs::CaseFiles;
use super::record::{Identity, Record, UnlikeTraining, input_file, input_files};
use super::windows::Windows;
use crate::terminal::signals::stop_flag;
use dataset::subject::Subject;
use engine::experiment::plan::ClassLabel;
use engine::inference::volumetry::{Extent, label_volumes, region_volumes};
use engine::prediction::{Ensemble, PredictError, Provenance, predict};
use volume::{Label, Volume, Voxels, io};

/// What all cases of a command have in common.
pub(in crate::commands) struct CaseSettings<'a> {
    /// The runs.
    pub ensemble: Ensemble<'a>,
    /// What makes the predictions.
    pub made_by: Provenance,
    /// Whether probabilities are kept; they are written if the case has a file for them.
    pub keep_probabilities: bool,
    /// Whether scans unlike the training scans are resampled to the spacing of these.
    pub resample: bool,
    /// Whether the cases are subjects of the run's own data, so that its previous runs predict them out of fold.
    pub of_own_data: bool,
    /// The SHA-256 of the selection that the ensemble is from, if it is from one.
    pub selection: Option<String>,
}

/// A predicted case.
pub(in crate::commands) struct PredictedCase {
    /// The label map on the grid of the image.
    pub label_map: Voxels<Label>,
    /// The probability of each class, if they were kept.
    pub probabilities: Option<Voxels<f32>>,
    /// The volumes of the regions, or of the labels if the network predicts labels, as a line of text.
    pub volumes: String,
}

/// Predicts a case from its volume, and writes label map, probabilities and record. Warns of what is unlike the training
/// scans about it.
///
/// # Errors
/// When the image does not fit the runs, the device fails, a file cannot be written, or the user stopped it.
pub(in crate::commands) fn predict_case(
    settings: &CaseSettings,
    subject: &Subject,
    volume: Volume,
    files: &CaseFiles,
    bar: &Windows,
) -> Result<PredictedCase, PredictError> {
    let start = Instant::now();
    let predictors = settings.ensemble.predictors;
    let grid = volume.grid;
    let image = subject.images.first().map(|path| path.as_path()).unwrap_or(Path::new(""));
    let unlike_training = unlike_training(settings, &volume);
    for difference in unlike_training.iter().flatten().filter(|difference| difference.kind.is_harmful()) {
        bar.line(&format!("warning: case {}: {}", subject.name, difference.message));
    }
    let mut report = |done, total| bar.show(done, total);
    let own_subject = settings.of_own_data.then_some(subject.name.as_str());
    let keep_probabilities = settings.keep_probabilities;
    let prediction = predict(&settings.ensemble, volume, own_subject, keep_probabilities, stop_flag(), &mut report)?;
    let write_error = |error: io::ImageError| PredictError::Write(error.into());
    let description = settings.made_by.description();
    if let (Some(probabilities), Some(path)) = (&prediction.probabilities, &files.probabilities) {
        io::write_described_image(path, &grid, probabilities, &description).map_err(write_error)?;
    }
    io::write_described_label(&files.label_map, &grid, &prediction.label, &description).map_err(write_error)?;
    let targets = &predictors[0].targets;
    let labels = label_volumes(&prediction.label, &grid, &ClassLabel::pairs(&targets.labels));
    let regions = region_volumes(&prediction.label, &grid, &targets.regions);
    let identity = Identity {
        images: input_files(&subject.images).map_err(|error| PredictError::Image(error.into()))?,
        made_by: settings.made_by.clone(),
        resample: settings.resample,
        selection: settings.selection.clone(),
        label_map: input_file(&files.label_map).map_err(|error| PredictError::Write(error.into()))?,
    };
    let record = Record {
        image,
        runs: predictors.iter().map(|predictor| predictor.root.as_path()).collect(),
        shape: grid.shape,
        spacing_mm: grid.spacing(),
        labels: &labels,
        regions: &regions,
        seconds: start.elapsed().as_secs_f64(),
        unlike_training,
        identity,
    };
    record.write(&files.record).map_err(|error| PredictError::Write(error.into()))?;
    let volumes: Vec<String> = match targets.has_background() {
        true => labels.iter().map(|label| text(&label.name, &label.extent)).collect(),
        false => regions.iter().map(|region| text(&region.name, &region.extent)).collect(),
    };
    Ok(PredictedCase {
        label_map: prediction.label,
        probabilities: prediction.probabilities,
        volumes: volumes.join(", "),
    })
}

/// Returns what is unlike the training scans of each run about a scan, each difference once; `None` if no run folder
/// describes its training scans.
fn unlike_training<'a>(settings: &CaseSettings<'a>, volume: &Volume) -> Option<Vec<UnlikeTraining<'a>>> {
    let of_runs =
        settings.ensemble.predictors.iter().map(|predictor| Some((predictor, predictor.differences(volume)?)));
    let of_runs: Vec<_> = of_runs.flatten().collect();
    if of_runs.is_empty() {
        return None;
    }
    let mut all: Vec<UnlikeTraining> = Vec::new();
    for (predictor, differences) in of_runs {
        for difference in differences {
            if all.iter().all(|other| other.message != difference.message) {
                let (kind, message) = (difference.kind, difference.message);
                all.push(UnlikeTraining { run: &predictor.root, kind, message });
            }
        }
    }
    Some(all)
}

/// Describes the volume of a label or region and its connected components, as in `tumour 12.3 ml in 2 components`.
fn text(name: &str, extent: &Extent) -> String {
    match extent.components.len() {
        0 => format!("no {name}"),
        1 => format!("{name} {} ml", millilitres(extent.volume_ml)),
        count => format!("{name} {} ml in {count} components", millilitres(extent.volume_ml)),
    }
}

/// Writes a volume with one decimal, or with two digits if it is below 0.1 ml.
fn millilitres(volume: f64) -> String {
    let decimals = if volume < 0.095 { 1.0 - volume.log10().floor() } else { 1.0 };
    format!("{volume:.*}", decimals as usize)
}

#[cfg(test)]
mod tests {
    use super::millilitres;

    #[test]
    fn small_volumes_keep_two_digits() {
        for (volume, text) in
            [(1234.56, "1234.6"), (0.1, "0.1"), (0.08249, "0.082"), (0.0951, "0.1"), (6.4e-8, "0.000000064")]
        {
            assert_eq!(millilitres(volume), text);
        }
    }
}
