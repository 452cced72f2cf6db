//! Rules for initial weights, frozen layers and learning rates of layers, which name parameters of the network.

use std::collections::BTreeSet;

use super::Diagnostics;
use super::data::first_names;
use crate::experiment::problem::nearest;
use crate::experiment::spec::Freeze;
use nn::Model;
use nn::weights::{LoadedWeights, WeightsError};

/// Checks the initial weights and the names of layers; returns what does not come from the weights' file as it is.
pub(super) fn check(diagnostics: &mut Diagnostics, channels: usize, classes: usize) -> Vec<String> {
    let experiment = &diagnostics.document.experiment;
    let network = NetworkNames { model: &experiment.model, trained: experiment.model.trained_names(channels, classes) };
    let loaded = check_initial_weights(diagnostics, &network, channels, classes);
    if let Some(freeze) = &experiment.train.freeze {
        let random = match (&experiment.train.initial_weights, &loaded) {
            (None, _) => network.trained.clone(),
            (Some(_), loaded) => loaded.as_ref().map_or_else(Vec::new, |loaded| loaded.random.clone()),
        };
        check_freeze(diagnostics, &network, freeze, &random);
    }
    check_factors(diagnostics, &network);
    loaded.map_or_else(Vec::new, |loaded| loaded.notes())
}

/// A network and the names of its trained parameters.
struct NetworkNames<'a> {
    model: &'a Model,
    trained: Vec<String>,
}

impl NetworkNames<'_> {
    fn in_layer(&self, layer: &str) -> Vec<&String> {
        self.trained.iter().filter(|name| self.model.is_in_layer(name, layer)).collect()
    }

    /// Returns the layers that may be named, apart from those inside a level.
    fn layers(&self) -> Vec<String> {
        let mut layers = Vec::new();
        for name in &self.trained {
            let parts: Vec<&str> = name.split('.').collect();
            for layer in (1..parts.len().min(3)).map(|count| parts[..count].join(".")) {
                if !layers.contains(&layer) {
                    layers.push(layer);
                }
            }
        }
        layers
    }

    /// Reports the name of a layer that no parameter is in; returns whether it is known.
    fn check_layer(&self, diagnostics: &mut Diagnostics, path: &str, is_key: bool, layer: &str) -> bool {
        if !self.in_layer(layer).is_empty() {
            return true;
        }
        let layers = self.layers();
        let near = nearest(layer, layers.iter().map(String::as_str));
        let near = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        let message = format!("the network has no layer `{layer}`");
        let help = format!("{near}layers: {}", layers.join(", "));
        if is_key {
            diagnostics.key_problem(path, message, help);
        } else {
            diagnostics.problem(path, message, help);
        }
        false
    }
}

/// Reads the initial weights; `None` if there are none or they cannot be used.
fn check_initial_weights(
    diagnostics: &mut Diagnostics,
    network: &NetworkNames,
    channels: usize,
    classes: usize,
) -> Option<LoadedWeights> {
    let weights = diagnostics.document.experiment.train.initial_weights.as_ref()?;
    let known = |(index, layer): (usize, &String)| {
        network.check_layer(diagnostics, &format!("train.initial_weights.skip.{index}"), false, layer)
    };
    if weights.skip.iter().enumerate().map(known).filter(|is_known| !is_known).count() > 0 {
        return None;
    }
    match network.model.read_weights(weights, channels, classes) {
        Ok(loaded) => Some(loaded),
        Err(error) => {
            let message = format!("{}: {}", weights.path().display(), describe(&error));
            let help = match error {
                WeightsError::Read { .. } if weights.file.is_dir() => {
                    "a folder must be that of a run that has best weights; for other weights, give the path of the file"
                        .to_owned()
                }
                WeightsError::Read { .. } => "the path is relative to the working folder".to_owned(),
                WeightsError::Unlike { help, .. } => help,
                _ => "use weights of the same network, with the same widths, norm, channels and number of classes"
                    .to_owned(),
            };
            diagnostics.problem("train.initial_weights", message, help);
            None
        }
    }
}

/// Returns the message of an error; if a file cannot be read, that of its cause.
fn describe(error: &WeightsError) -> String {
    match std::error::Error::source(error) {
        Some(source) if matches!(error, WeightsError::Read { .. }) => source.to_string(),
        _ => error.to_string(),
    }
}

/// Checks the frozen layers; `random` are the parameters that do not start from initial weights.
fn check_freeze(diagnostics: &mut Diagnostics, network: &NetworkNames, freeze: &Freeze, random: &[String]) {
    let path = "train.freeze.layers";
    if freeze.layers.is_empty() {
        let help = "list some, for example [encoder], or remove `freeze`";
        diagnostics.problem(path, "expected at least one layer, got none", help);
        return;
    }
    for (index, layer) in freeze.layers.iter().enumerate() {
        network.check_layer(diagnostics, &format!("{path}.{index}"), false, layer);
    }
    let is_frozen = |name: &String| freeze.layers.iter().any(|layer| network.model.is_in_layer(name, layer));
    if network.trained.iter().all(is_frozen) {
        diagnostics.problem(
            path,
            "all layers are frozen, so nothing is trained",
            "remove a layer from the list, such as head",
        );
        return;
    }
    let random: Vec<String> = random.iter().filter(|name| is_frozen(name)).cloned().collect();
    if !random.is_empty() {
        diagnostics.warning(format!(
            "train.freeze freezes parameters that start from random weights, not from train.initial_weights: {}",
            first_names(&random)
        ));
    }
    let last = diagnostics.document.experiment.train.epochs.get();
    if let Some(epochs) = freeze.epochs.filter(|epochs| epochs.get() >= last) {
        diagnostics.warning(format!(
            "train.freeze.epochs is {epochs}, so the layers stay frozen for all {last} epochs; if that is intended, remove the key"
        ));
    }
}

/// Checks that each factor of the learning rate is that of some parameter.
fn check_factors(diagnostics: &mut Diagnostics, network: &NetworkNames) {
    let train = &diagnostics.document.experiment.train;
    let factors = &train.learning_rate_factors;
    let frozen = train.freeze.as_ref().filter(|freeze| freeze.epochs.is_none());
    let is_frozen = |name: &str| {
        frozen.is_some_and(|freeze| freeze.layers.iter().any(|layer| network.model.is_in_layer(name, layer)))
    };
    let trained = network.trained.iter().filter(|name| !is_frozen(name));
    let used: BTreeSet<&String> =
        trained.filter_map(|name| network.model.closest_layer(name, factors.keys())).collect();
    for layer in factors.keys() {
        let map = "train.learning_rate_factors";
        // A dot in the key is no step of a path.
        let path = if layer.contains('.') { map.to_owned() } else { format!("{map}.{layer}") };
        if network.check_layer(diagnostics, &path, true, layer) && !used.contains(layer) {
            let message = format!("the learning-rate factor of `{layer}` applies to no parameter");
            let help = "remove it: its parameters are frozen for the whole run or have more specific factors";
            diagnostics.key_problem(&path, message, help);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::experiment::check::{Environment, check};
    use crate::experiment::load::parse;
    use crate::experiment::plan::Plan;
    use crate::experiment::problem::Problems;

    const TEXT: &str = "\
data: { source: { phantom: { subjects: 10 } } }
sampler: { uniform: { patch: [32, 32, 32] } }
model: { unet: { widths: [8, 16], norm: instance } }
loss: { dice: {} }
optimizer: { adam: { learning_rate: 1e-4 } }
device: flex
train: { epochs: 5, ";

    fn plan(train: &str) -> Result<Plan, Problems> {
        let here = Environment { cache_dir: "no-cache".into(), memory_bytes: None };
        check(&parse("a.yaml", &format!("{TEXT}{train} }}\n")).unwrap(), &here, None)
    }

    /// Returns the text that the first problem points at, its message and its help.
    fn problem(train: &str) -> [String; 3] {
        let problem = plan(train).unwrap_err().0.remove(0);
        let location = problem.location.clone().unwrap();
        let help = problem.help.clone().unwrap_or_default();
        [location.source.text[location.span].to_owned(), problem.message, help]
    }

    #[test]
    fn unknown_layers_are_named_with_all_that_there_are() {
        for (train, at) in [
            ("freeze: { layers: [encodr] }", "encodr"),
            ("learning_rate_factors: { encodr: 0.1 }", "encodr"),
            ("initial_weights: { file: w.pt, skip: [encodr] }", "encodr"),
        ] {
            let [text, message, help] = problem(train);
            assert_eq!((text.as_str(), message.as_str()), (at, "the network has no layer `encodr`"));
            assert_eq!(help, "did you mean `encoder`? layers: encoder, encoder.0, encoder.1, decoder, decoder.0, head");
        }
    }

    #[test]
    fn something_must_be_trained_and_every_factor_must_have_a_parameter() {
        assert!(problem("freeze: { layers: [encoder, decoder, head] }")[1].contains("nothing is trained"));
        assert!(problem("freeze: { layers: [] }")[1].contains("at least one layer"));
        let factors = "learning_rate_factors: { decoder: 0.1, decoder.0: 0.2 }";
        assert_eq!(problem(factors)[1], "the learning-rate factor of `decoder` applies to no parameter");
        let frozen = "freeze: { layers: [encoder] }, learning_rate_factors: { encoder: 0.1 }";
        assert_eq!(problem(frozen)[1], "the learning-rate factor of `encoder` applies to no parameter");
        plan("freeze: { layers: [encoder], epochs: 2 }, learning_rate_factors: { encoder: 0.1 }").unwrap();
    }

    #[test]
    fn frozen_random_weights_and_layers_frozen_to_the_end_cause_warnings() {
        let plan = plan("freeze: { layers: [encoder.0], epochs: 5 }").unwrap();
        let has = |text: &str| plan.warnings.iter().any(|warning| warning.contains(text));
        assert!(has("start from random weights, not from train.initial_weights: encoder.0.conv1.weight"));
        assert!(has("frozen for all 5 epochs"));
        assert!(plan.to_string().contains("frozen            encoder.0 for the first 5 epochs"), "{plan}");
    }

    #[test]
    fn factors_are_in_the_plan() {
        let plan = plan("learning_rate_factors: { encoder: 0.1, head: 2 }").unwrap();
        assert!(plan.to_string().contains("learning rates    encoder times 0.1, head times 2"), "{plan}");
        assert!(plan.to_yaml().contains("learning_rate_factors:\n    encoder: 0.1\n    head: 2"), "{}", plan.to_yaml());
    }
}
