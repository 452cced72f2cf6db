//! The text that `runner check` prints: what will be trained, on what, and how it will be judged.

mod component;
mod wrap;

use std::fmt;
use std::num::NonZeroUsize;

use self::component::{component, components, tree, value};
use self::wrap::wrapped;
use super::plan::Plan;
use super::spec::Experiment;
use crate::previous::{PreviousRun, PreviousRuns};

impl Plan {
    /// Returns the smallest and the largest size along each axis after preprocessing.
    fn shape_range(&self) -> Option<([usize; 3], [usize; 3])> {
        let mut shapes = self.cases.values().map(|case| case.outgoing.shape);
        let first = shapes.next()?;
        Some(shapes.fold((first, first), |(low, high), shape| {
            let along = |pick: fn(usize, usize) -> usize, bound: [usize; 3]| {
                std::array::from_fn(|axis| pick(bound[axis], shape[axis]))
            };
            (along(usize::min, low), along(usize::max, high))
        }))
    }

    /// Returns the names and values of all lines.
    fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = self.data_lines();
        lines.extend(self.patch_lines());
        lines.extend(self.training_lines());
        lines.extend(self.evaluation_lines());
        lines.push(("memory", format!("{:.2} GB (estimate)", self.memory_bytes as f64 / 1e9)));
        lines
    }

    fn data_lines(&self) -> Vec<(&'static str, String)> {
        let targets = &self.targets;
        let labels: Vec<String> =
            targets.labels.iter().map(|label| format!("{} {}", label.value, label.name)).collect();
        let (train, val, test) = (self.parts.train.len(), self.parts.val.len(), self.parts.test.len());
        let volumes = self.shape_range().map(|(low, high)| {
            let range =
                if low == high { shape_text(low) } else { format!("{} to {}", shape_text(low), shape_text(high)) };
            let cropped = self.experiment.preprocess.iter().find(|step| step.any(&|step| step.resolves_shape()));
            let text = match cropped {
                None => format!("{range} voxels after preprocess"),
                Some(step) => format!("at most {range} voxels after preprocess, less what {} crops", step.name()),
            };
            ("volumes", text)
        });
        let first = [
            ("name", self.name.clone()),
            ("device", self.device.to_string()),
            ("subjects", format!("{train} train, {val} val, {test} test")),
        ];
        let groups = self.groups.iter().map(|groups| ("split", groups.replace("; ", "\n")));
        let lines = [("channels", self.channels_text()), ("labels", labels.join(", "))];
        let previous = self.previous.as_ref().map(|previous| ("previous runs", previous_text(previous)));
        let of_masks = self.experiment.data.previous.iter().flat_map(|previous| &previous.augment).collect::<Vec<_>>();
        let of_masks = (!of_masks.is_empty()).then(|| ("previous augment", components(&of_masks, "")));
        let regions = (!targets.has_background()).then(|| ("regions", targets.regions_text()));
        let ignored = targets.ignore.map(|label| ("ignored label", label.to_string()));
        let preprocess = ("preprocess", components(&self.experiment.preprocess, "none"));
        first
            .into_iter()
            .chain(groups)
            .chain(lines)
            .chain(previous)
            .chain(of_masks)
            .chain(regions)
            .chain(ignored)
            .chain([preprocess])
            .chain(volumes)
            .collect()
    }

    fn channels_text(&self) -> String {
        let masks = self.network_channels() - self.channels;
        let image = self.channels.to_string();
        if masks == 0 {
            image
        } else {
            format!("{image}, and {masks} of the previous runs: one for each of their labels")
        }
    }

    fn patch_lines(&self) -> Vec<(&'static str, String)> {
        let Experiment { augment, patch_augment, sampler, train, .. } = &self.experiment;
        let patches = if train.batch_size.get() == 1 { "patch" } else { "patches" };
        let accumulated = match train.accumulate_batches.get() {
            1 => String::new(),
            count => format!(", {count} batches accumulated in each step"),
        };
        let batch = format!("{} {patches}{accumulated}", train.batch_size);
        let of_patches = (!patch_augment.is_empty()).then(|| ("patch augment", components(patch_augment, "")));
        let cut = match self.experiment.cut() {
            cut if cut == self.patch => String::new(),
            cut => format!(", computed from {}", shape_text(cut)),
        };
        let lines = [
            ("patch", format!("{}{cut}", shape_text(self.patch))),
            ("patches per epoch", self.patches_per_epoch.to_string()),
            ("batch", batch),
            ("steps", format!("{} per epoch, {} in total", self.steps_per_epoch, self.num_steps())),
        ];
        let before = [("augment", components(augment, "none")), ("sampler", component(&tree(sampler)))];
        before.into_iter().chain(of_patches).chain(lines).collect()
    }

    fn training_lines(&self) -> Vec<(&'static str, String)> {
        let Experiment { model, loss, optimizer, schedule, train, .. } = &self.experiment;
        let clip = train.clip_gradient_norm.map(|norm| ("gradient clipping", format!("to a norm of {}", norm.get())));
        let initial = train.initial_weights.as_ref().map(|weights| {
            let file = weights.file.display().to_string();
            ("initial weights", [file].iter().chain(&self.initial_weights).cloned().collect::<Vec<_>>().join("\n"))
        });
        let frozen = train.freeze.as_ref().map(|freeze| {
            let span = match freeze.epochs.map(NonZeroUsize::get) {
                None => "for the whole run".to_owned(),
                Some(1) => "for the first epoch".to_owned(),
                Some(epochs) => format!("for the first {epochs} epochs"),
            };
            ("frozen", format!("{} {span}", freeze.layers.join(", ")))
        });
        let factors: Vec<String> = train
            .learning_rate_factors
            .iter()
            .map(|(layer, factor)| format!("{layer} times {}", factor.get()))
            .collect();
        let factors = (!factors.is_empty()).then(|| ("learning rates", factors.join(", ")));
        let lines = [
            ("model", component(&tree(model))),
            ("parameters", self.num_parameters.to_string()),
            ("receptive field", format!("{} voxels", shape_text(model.receptive_field()))),
            ("loss", component(&tree(loss))),
            ("optimizer", component(&tree(optimizer))),
            ("schedule", component(&tree(schedule))),
        ];
        let average =
            train.weight_average.as_ref().map(|average| ("weight average", format!("decay {}", average.decay.get())));
        lines.into_iter().chain(clip).chain(initial).chain(average).chain(frozen).chain(factors).collect()
    }

    fn evaluation_lines(&self) -> Vec<(&'static str, String)> {
        let Experiment { validate, inference, postprocess, metrics, checkpoint, .. } = &self.experiment;
        let patches = validate.patches.then(|| ("validation loss", on_patches(validate.every_epochs.get())));
        let interval = match self.experiment.volume_interval() {
            1 => "every epoch".to_owned(),
            interval if interval < self.experiment.train.epochs.get() => {
                format!("every {interval} epochs, and after the last")
            }
            _ => "after the last epoch".to_owned(),
        };
        let mirror = match inference.mirror.len() {
            0 => String::new(),
            _ => format!(", mirrored along {}", value(&tree(&inference.mirror))),
        };
        let window = format!(
            "{}, overlap {}, blend {}{mirror}",
            shape_text(self.window),
            inference.overlap.get(),
            value(&tree(&inference.blend))
        );
        let patience =
            checkpoint.patience_epochs.map(|epochs| format!("stops after {epochs} epochs without a better one"));
        let kept = match checkpoint.keep_best {
            0 => None,
            1 => Some(format!("best epoch by {}", checkpoint.monitor)),
            count => Some(format!("best {count} epochs by {}", checkpoint.monitor)),
        };
        let last = match checkpoint.keep_last.get() {
            1 => "last epoch".to_owned(),
            count => format!("last {count} checkpoints"),
        };
        let rule = if self.targets.has_background() { "argmax" } else { "regions with a probability above 0.5" };
        let lines = [
            ("volumes scored", interval),
            ("metrics", components(metrics, "none")),
            ("window", window),
            ("postprocess", components(postprocess, rule)),
            ("checkpoints", kept.into_iter().chain([last]).chain(patience).collect::<Vec<_>>().join("; ")),
        ];
        let pseudo_dice = validate.pseudo_dice.as_ref().map(|pseudo_dice| {
            let patches = pseudo_dice.batches.get() * self.experiment.train.batch_size.get();
            let every = match validate.every_epochs.get() {
                1 => "every epoch".to_owned(),
                count => format!("every {count} epochs"),
            };
            ("pseudo-Dice", format!("of {patches} random patches, {every}"))
        });
        patches.into_iter().chain(pseudo_dice).chain(lines).collect()
    }
}

/// The text that `runner check` prints. A value of several lines is indented.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (name, value) in self.lines() {
            for (index, value) in value.lines().flat_map(wrapped).enumerate() {
                writeln!(f, "{:<18}{value}", if index == 0 { name } else { "" })?;
            }
        }
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))
    }
}

/// Describes the previous runs, one in each line.
fn previous_text(previous: &PreviousRuns) -> String {
    let run = |run: &PreviousRun| match &run.parts {
        Some(parts) => format!("{} ({} train, {} val)", run.root.display(), parts.train.len(), parts.val.len()),
        None => run.root.display().to_string(),
    };
    previous.runs.iter().map(run).collect::<Vec<_>>().join("\n")
}

fn shape_text(shape: [usize; 3]) -> String {
    shape.map(|size| size.to_string()).join(" x ")
}

fn on_patches(epochs: usize) -> String {
    if epochs == 1 { "on patches, every epoch".to_owned() } else { format!("on patches, every {epochs} epochs") }
}
