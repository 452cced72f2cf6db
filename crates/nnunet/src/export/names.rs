//! The names by which nnU-Net knows an exported model.

use std::path::Path;

use super::ExportError;
use crate::find::Fold;
use dataset::sources::Source;
use engine::prediction::Predictor;
use run_folder::manifest::Manifest;

/// nnU-Net's default trainer, whose network every exported model has.
pub(super) const TRAINER: &str = "nnUNetTrainer";
/// nnU-Net's default name of plans.
const PLANS: &str = "nnUNetPlans";
/// What is between the parts of the name of a model's folder.
const SEPARATOR: &str = "__";

/// The names of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub dataset: String,
    pub plans: String,
    pub configuration: String,
}

impl Names {
    /// Returns the names that a folder `DatasetNNN_NAME/nnUNetTrainer__PLANS__CONFIGURATION` has, or else those of the
    /// imported model, or else the defaults.
    ///
    /// # Errors
    /// When the folder is named after another trainer.
    pub fn new(out: &Path, predictor: &Predictor, is_planar: bool) -> Result<Self, ExportError> {
        let imported = Manifest::read(&predictor.root).ok().and_then(|manifest| manifest.imported);
        let default = match imported {
            Some(imported) => {
                Self { dataset: imported.dataset, plans: imported.plans, configuration: imported.configuration }
            }
            None => Self {
                dataset: dataset_of(predictor),
                plans: PLANS.to_owned(),
                configuration: if is_planar { "2d" } else { "3d_fullres" }.to_owned(),
            },
        };
        default.in_folder(out)
    }

    /// Returns the names with those of the folder, where that is named as nnU-Net names it.
    fn in_folder(self, out: &Path) -> Result<Self, ExportError> {
        let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let model = name(out);
        let parts: Vec<&str> = model.split(SEPARATOR).collect();
        let [trainer, plans, configuration] = parts[..] else { return Ok(self) };
        if trainer != TRAINER {
            return Err(ExportError::problem(
                format!("--out is named after the trainer {trainer}, but exported models have {TRAINER}"),
                format!("name the folder {TRAINER}{SEPARATOR}{plans}{SEPARATOR}{configuration}"),
            ));
        }
        let dataset = out.parent().map(name).filter(|dataset| is_dataset(dataset)).unwrap_or(self.dataset);
        Ok(Self { dataset, plans: plans.to_owned(), configuration: configuration.to_owned() })
    }
}

/// Returns whether a name is one of nnU-Net's datasets, such as `Dataset004_Hippocampus`.
fn is_dataset(name: &str) -> bool {
    let number = name.strip_prefix("Dataset").and_then(|rest| rest.split_once('_')).map(|(number, _)| number);
    number.is_some_and(|number| number.len() == 3 && number.bytes().all(|digit| digit.is_ascii_digit()))
}

/// Returns the name of the dataset of a run that was trained on nnU-Net's raw data, or else that of the experiment.
fn dataset_of(predictor: &Predictor) -> String {
    let root = match &predictor.experiment.data.source {
        Source::Nnunet(source) => source.root.file_name().map(|name| name.to_string_lossy().into_owned()),
        _ => None,
    };
    let root = root.filter(|name| is_dataset(name));
    root.or_else(|| predictor.experiment.name.clone()).unwrap_or_else(|| "exported".to_owned())
}

/// Returns the fold of each run: that of its split, if all have different ones, or else its number in the order of the
/// runs.
pub(super) fn folds(predictors: &[Predictor]) -> Vec<Fold> {
    numbered(predictors.iter().map(fold).collect())
}

fn fold(predictor: &Predictor) -> Option<Fold> {
    let imported = Manifest::read(&predictor.root).ok().and_then(|manifest| manifest.imported);
    match imported {
        Some(imported) => imported.fold.parse().ok(),
        None => predictor.experiment.data.split.fold().and_then(|fold| u32::try_from(fold).ok()).map(Fold::Number),
    }
}

fn numbered(stated: Vec<Option<Fold>>) -> Vec<Fold> {
    let mut distinct: Vec<&Fold> = stated.iter().flatten().collect();
    distinct.sort();
    distinct.dedup();
    if distinct.len() == stated.len() {
        return stated.into_iter().flatten().collect();
    }
    (0..stated.len() as u32).map(Fold::Number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_names_the_model_where_nnunet_would_name_it_so() {
        let names = |dataset: &str, plans: &str, configuration: &str| {
            let [dataset, plans, configuration] = [dataset, plans, configuration].map(str::to_owned);
            Names { dataset, plans, configuration }
        };
        let default = names("liver", PLANS, "2d");
        let of = |out: &str| default.clone().in_folder(Path::new(out));
        assert_eq!(of("out/model").unwrap(), default);
        assert_eq!(of("R/Dataset004_A/nnUNetTrainer__P__3d_lowres").unwrap(), names("Dataset004_A", "P", "3d_lowres"));
        assert_eq!(of("models/nnUNetTrainer__P__3d_fullres/").unwrap(), names("liver", "P", "3d_fullres"));
        let error = of("Dataset004_A/MyTrainer__P__2d").unwrap_err().to_string();
        assert!(error.contains("the trainer MyTrainer"), "{error}");
        assert!(is_dataset("Dataset123_x") && !is_dataset("Dataset12_x") && !is_dataset("Dataset1234"));
    }

    #[test]
    fn folds_are_those_of_the_splits_or_numbered() {
        let [zero, one, two] = [0, 1, 2].map(Fold::Number);
        assert_eq!(numbered(vec![Some(two.clone()), Some(zero.clone())]), [two.clone(), zero.clone()]);
        assert_eq!(
            numbered(vec![Some(two.clone()), None, Some(zero.clone())]),
            [zero.clone(), one.clone(), two.clone()]
        );
        assert_eq!(numbered(vec![Some(two.clone()), Some(two)]), [zero, one]);
        assert_eq!(numbered(vec![Some(Fold::All)]), [Fold::All]);
    }
}
