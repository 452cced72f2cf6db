//! The text that `runner check` prints: what will be trained, on what, and how it will be judged.

use std::fmt;
use std::num::NonZeroUsize;

use serde::Serialize;
use serde_yaml::{Mapping, Value as Yaml};

use super::plan::Plan;
use super::spec::Experiment;
use crate::previous::{PreviousRun, PreviousRuns};

/// Maximum length of the description of a component in characters; landmarks and reference grids are long.
const MAX_LENGTH: usize = 600;
/// Maximum length of a line in characters, without its name.
const MAX_LINE: usize = 100;

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

/// Breaks a line after commas, but not inside a list of numbers; the second line and later ones are indented.
fn wrapped(line: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for part in parts(line) {
        let last = lines.last_mut().expect("there is a line");
        if !last.trim().is_empty() && last.chars().count() + part.trim_end().chars().count() > MAX_LINE {
            lines.push(format!("  {part}"));
        } else {
            last.push_str(part);
        }
    }
    lines.into_iter().map(|line| line.trim_end().to_owned()).collect()
}

/// Splits a line after the commas that it may be broken at.
fn parts(line: &str) -> Vec<&str> {
    let is_of_numbers = |open: usize| {
        let content = line[open + 1..].split([']', '[']).next().unwrap_or_default();
        !content.is_empty() && !content.contains(char::is_alphabetic)
    };
    let (mut parts, mut start, mut open) = (Vec::new(), 0, None);
    for (index, character) in line.char_indices() {
        match character {
            '[' => open = Some(index),
            ']' => open = None,
            ' ' if line[..index].ends_with(',') && !open.is_some_and(is_of_numbers) => {
                parts.push(&line[start..=index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&line[start..]);
    parts
}

fn shape_text(shape: [usize; 3]) -> String {
    shape.map(|size| size.to_string()).join(" x ")
}

fn on_patches(epochs: usize) -> String {
    if epochs == 1 { "on patches, every epoch".to_owned() } else { format!("on patches, every {epochs} epochs") }
}

/// Returns a part of the experiment as a tree of plain values, with keys in the order of their declaration.
fn tree(value: &impl Serialize) -> Yaml {
    serde_yaml::with::singleton_map_recursive::serialize(value, serde_yaml::value::Serializer)
        .expect("the parts of an experiment are plain data")
}

/// Describes a list of components, one in each line.
fn components(list: &[impl Serialize], if_empty: &str) -> String {
    let lines: Vec<String> = list.iter().map(|item| component(&tree(item))).collect();
    if lines.is_empty() { if_empty.to_owned() } else { lines.join("\n") }
}

/// Describes a component, a map from its name to its keys, such as `adam: learning_rate 0.001, epsilon 1e-8`; keys without
/// a value are left out.
fn component(node: &Yaml) -> String {
    let text = match node.as_mapping().and_then(|map| map.iter().next()) {
        Some((name, keys)) => match keys {
            Yaml::Mapping(keys) => match entries(keys, " ") {
                entries if entries.is_empty() => value(name),
                entries => format!("{}: {entries}", value(name)),
            },
            keys => format!("{}: {}", value(name), value(keys)),
        },
        None => value(node),
    };
    if text.chars().count() <= MAX_LENGTH {
        return text;
    }
    text.chars().take(MAX_LENGTH).chain(['…']).collect()
}

/// Describes the entries that have a value.
fn entries(map: &Mapping, separator: &str) -> String {
    // An intensity without a value is the minimum.
    let is_minimum = |name: &Yaml, node: &Yaml| node.is_null() && matches!(name.as_str(), Some("fill" | "with"));
    let is_set = |node: &&Yaml| match node {
        Yaml::Null | Yaml::Bool(false) => false,
        Yaml::Sequence(items) => !items.is_empty(),
        Yaml::Mapping(map) => !map.is_empty(),
        _ => true,
    };
    let set = map.iter().filter(|(name, node)| is_set(node) || is_minimum(name, node));
    let entry = |(name, node): (&Yaml, &Yaml)| match node {
        Yaml::Bool(true) => value(name),
        Yaml::Null => format!("{}{separator}minimum", value(name)),
        node => format!("{}{separator}{}", value(name), value(node)),
    };
    set.map(entry).collect::<Vec<_>>().join(", ")
}

fn value(node: &Yaml) -> String {
    match node {
        Yaml::Null => "null".to_owned(),
        Yaml::Bool(value) => value.to_string(),
        Yaml::Number(number) if number.is_f64() => number.as_f64().map(number_text).unwrap_or_default(),
        Yaml::Number(number) => number.to_string(),
        Yaml::String(text) => text.clone(),
        // One range for all axes is written once.
        Yaml::Sequence(items)
            if items.len() == 3 && items[0].is_sequence() && items.iter().all(|item| *item == items[0]) =>
        {
            value(&items[0])
        }
        Yaml::Sequence(items) if items.iter().any(Yaml::is_mapping) => {
            format!("[{}]", items.iter().map(item).collect::<Vec<_>>().join("; "))
        }
        Yaml::Sequence(items) => format!("[{}]", items.iter().map(value).collect::<Vec<_>>().join(", ")),
        Yaml::Mapping(map) => format!("{{{}}}", entries(map, ": ")),
        Yaml::Tagged(tagged) => value(&tagged.value),
    }
}

/// Describes an item of a list that contains maps: a component has its name as the only key.
fn item(node: &Yaml) -> String {
    let is_component = node.as_mapping().is_none_or(|map| map.len() == 1);
    if is_component { component(node) } else { value(node) }
}

/// Formats a number in plain notation, or in scientific notation if that is clearly shorter.
fn number_text(number: f64) -> String {
    let (plain, scientific) = (format!("{number}"), format!("{number:e}"));
    if plain.len() <= scientific.len() + 2 { plain } else { scientific }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(yaml: &str) -> String {
        component(&serde_yaml::from_str(yaml).unwrap())
    }

    #[test]
    fn components_are_described_by_the_keys_that_have_a_value() {
        for (yaml, expected) in [
            ("constant: {}", "constant"),
            (
                "foreground_normalize: { statistics: [{ low: -100, high: 200 }] }",
                "foreground_normalize: statistics [{low: -100, high: 200}]",
            ),
            (
                "adam: { learning_rate: 1.0e-4, epsilon: 1.0e-8, amsgrad: false }",
                "adam: learning_rate 0.0001, epsilon 1e-8",
            ),
            (
                "dice: { regions: { whole: [1, 2] }, empty: nan, global: true }",
                "dice: regions {whole: [1, 2]}, empty nan, global",
            ),
            (
                "affine: { degrees: [[-10, 10], [-10, 10], [-10, 10]], fill: null }",
                "affine: degrees [-10, 10], fill minimum",
            ),
            (
                "maybe: { probability: 0.5, steps: [{ flip: { probabilities: [1, 0, 0] } }, { gamma: { log_gamma: [0, 1] } }] }",
                "maybe: probability 0.5, steps [flip: probabilities [1, 0, 0]; gamma: log_gamma [0, 1]]",
            ),
            ("one_of: [{ z_normalize: {} }]", "one_of: [z_normalize]"),
        ] {
            assert_eq!(described(yaml), expected);
        }
    }

    #[test]
    fn long_lines_are_wrapped_after_commas() {
        assert_eq!(wrapped("constant"), ["constant"]);
        assert_eq!(
            parts("a [1, 2], b [[1, 2], [3, 4]], c [d: 1, e]"),
            ["a [1, 2], ", "b [[1, 2], ", "[3, 4]], ", "c [d: 1, ", "e]"]
        );
        let line = format!("{}, {}, c", "a".repeat(60), "b".repeat(60));
        assert_eq!(wrapped(&line), [format!("{},", "a".repeat(60)), format!("  {}, c", "b".repeat(60))]);
    }

    #[test]
    fn long_descriptions_are_cut() {
        let text = described(&format!("resample: {{ numbers: {:?} }}", vec![1; 300]));
        assert_eq!((text.chars().count(), text.chars().last()), (MAX_LENGTH + 1, Some('…')));
    }
}
