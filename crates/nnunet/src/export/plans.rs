//! `plans.json` of an exported model.

use serde_json::{Map, Value, json};

use super::ExportError;
use super::dataset::{Labels, check_keys};
use super::names::Names;
use super::network::{architecture, axes, unet};
use super::prediction::{check_postprocess, check_stages, check_windows};
use super::preprocessing::{Preprocessing, Resampling, preprocessing};
use super::refusals::{Refusals, TRAIN_AGAIN};
use crate::axes::Axes;
use crate::document::{READERS, REORIENTING_READERS};
use crate::normalization::Scheme;
use crate::plans::{Architecture, LABEL_MANAGER};
use crate::preprocessing::{DEFAULT_RESAMPLING, NO_RESAMPLING, ORDERS, PREPROCESSOR};
use engine::experiment::load;
use engine::prediction::Predictor;

/// A run in nnU-Net's terms.
#[derive(Debug)]
pub(super) struct Translation {
    pub axes: Axes,
    pub labels: Labels,
    pub schemes: Vec<Scheme>,
    /// The axes of the network along which windows are mirrored.
    pub mirror: Vec<usize>,
    /// Whether volumes are reoriented to RAS.
    pub reorients: bool,
    /// What nnU-Net does differently without an effect on label maps, in sentences.
    pub notes: Vec<String>,
    resampling: Option<Resampling>,
    architecture: Architecture,
    window: [usize; 3],
    batch_size: usize,
    batch_dice: bool,
}

impl Translation {
    /// Translates a run.
    ///
    /// # Errors
    /// When it has what nnU-Net lacks: all reasons, at their places in plan.yaml.
    pub fn new(predictor: &Predictor, without_postprocess: bool) -> Result<Self, ExportError> {
        let (experiment, targets) = (&predictor.experiment, &predictor.targets);
        let mut refusals = Refusals::default();
        check_keys(&experiment.data, &mut refusals);
        let labels = Labels::new(&experiment.data, targets, &mut refusals);
        let channels = predictor.channels();
        let Preprocessing { reorients, schemes, resampling } =
            preprocessing(experiment, predictor.preprocessing(), channels, &mut refusals);
        let (unet, window) = (unet(&experiment.model), experiment.window());
        let axes = axes(unet, window, resampling.map(|resampling| resampling.spacing));
        check_spacing(resampling, &axes, &mut refusals);
        let architecture = architecture(unet, &axes, &mut refusals);
        check_stages(experiment, &mut refusals);
        check_windows(experiment, &mut refusals);
        let left_out = check_postprocess(&experiment.postprocess, without_postprocess, &mut refusals);
        let notes = [left_out, super::dataset::note_on_probabilities(experiment, targets)];
        let mut notes: Vec<String> = notes.into_iter().flatten().collect();
        if unet.depth() > 2 && !unet.deep_supervision {
            notes.push(
                "the run has no deep supervision; the lower heads of nnU-Net's network, which no prediction uses, are 0"
                    .to_owned(),
            );
        }
        let Some(architecture) = architecture.filter(|_| refusals.is_empty()) else {
            let document = load::load(&predictor.root.join("plan.yaml"), &[]).map_err(ExportError::Refused)?;
            return Err(ExportError::Refused(refusals.into_problems(&document)));
        };
        // Across slices of one voxel, mirroring changes nothing.
        let mirrored = experiment.inference.mirror.iter().filter_map(|axis| axes.to_network(*axis as usize));
        let mut mirror: Vec<usize> = mirrored.collect();
        mirror.sort_unstable();
        mirror.dedup();
        Ok(Self {
            axes,
            labels,
            schemes,
            mirror,
            reorients,
            notes,
            resampling,
            architecture,
            window,
            batch_size: experiment.train.batch_size.get(),
            batch_dice: experiment.loss.component().sums_over_batch(),
        })
    }

    /// Returns nnU-Net's class that reads the images.
    pub fn reader(&self, file_ending: &str) -> &'static str {
        let is_nifti = [".nii", ".nii.gz"].contains(&file_ending);
        let ([stored, _], [of_nifti, of_others]) = (READERS, REORIENTING_READERS);
        match (self.reorients, is_nifti) {
            (false, _) => stored,
            (true, true) => of_nifti,
            (true, false) => of_others,
        }
    }

    /// Returns `plans.json`.
    pub fn json(&self, names: &Names, reader: &str) -> Value {
        let channels = self.schemes.iter().enumerate();
        let properties = channels.map(|(channel, scheme)| match scheme {
            Scheme::Foreground(intensities) => (channel.to_string(), json!(intensities)),
            // Only CTNormalization reads them.
            _ => (channel.to_string(), json!({})),
        });
        json!({
            "dataset_name": names.dataset,
            "plans_name": names.plans,
            "image_reader_writer": reader,
            "transpose_forward": self.axes.transpose_forward(),
            "transpose_backward": self.axes.transpose_backward(),
            "configurations": { &names.configuration: self.configuration(names) },
            "experiment_planner_used": "ExperimentPlanner",
            "label_manager": LABEL_MANAGER,
            "foreground_intensity_properties_per_channel": properties.collect::<Map<String, Value>>(),
        })
    }

    fn configuration(&self, names: &Names) -> Value {
        // Without resampling, nnU-Net reads the spacing and does nothing with it.
        let spacing = self.resampling.map_or([1.0; 3], |resampling| resampling.spacing.map(|mm| mm.unwrap_or(1.0)));
        let is_masked = |scheme: &Scheme| *scheme == Scheme::ZScore(true);
        let mut configuration = json!({
            "data_identifier": format!("{}_{}", names.plans, names.configuration),
            "preprocessor_name": PREPROCESSOR,
            "batch_size": self.batch_size,
            "patch_size": self.axes.in_network_order(self.window),
            "spacing": self.axes.in_network_order(spacing),
            "normalization_schemes": self.schemes.iter().map(Scheme::class).collect::<Vec<_>>(),
            "use_mask_for_norm": self.schemes.iter().map(is_masked).collect::<Vec<_>>(),
            "batch_dice": self.batch_dice,
            "architecture": self.architecture,
        });
        let [image_order, linear] = ORDERS;
        for (what, order, is_seg) in
            [("data", image_order, false), ("seg", linear, true), ("probabilities", linear, false)]
        {
            let (function, arguments) = match self.resampling {
                None => (NO_RESAMPLING, json!({})),
                Some(Resampling { forces_separate_axis, .. }) => {
                    let forced = forces_separate_axis;
                    (
                        DEFAULT_RESAMPLING,
                        json!({ "is_seg": is_seg, "order": order, "order_z": 0, "force_separate_z": forced }),
                    )
                }
            };
            configuration[format!("resampling_fn_{what}")] = function.into();
            configuration[format!("resampling_fn_{what}_kwargs")] = arguments;
        }
        configuration
    }
}

/// Refuses axes that are kept, other than the one across slices.
fn check_spacing(resampling: Option<Resampling>, axes: &Axes, refusals: &mut Refusals) {
    let Some(Resampling { spacing, .. }) = resampling else { return };
    if (0..3).any(|axis| spacing[axis].is_none() && axes.to_network(axis).is_some()) {
        let message = "null keeps an axis; nnU-Net does so only across the slices of two-dimensional networks";
        refusals.add("preprocess", message, format!("{TRAIN_AGAIN} with a number in `resample.spacing_mm`"));
    }
}
