//! Which of the models and folds of a folder or archive are meant.

use std::fmt;
use std::str::FromStr;

use crate::ImportError;
use crate::model_files::ModelFiles;

/// The file of nnU-Net's settings in the folder of a trained model.
pub(crate) const PLANS: &str = "plans.json";
/// The file of labels and channels beside it.
pub(crate) const DATASET: &str = "dataset.json";

/// A fold of a trained model.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fold {
    /// A fold of a cross-validation, counted from 0.
    Number(u32),
    /// All training subjects.
    All,
}

impl fmt::Display for Fold {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::All => f.write_str("all"),
        }
    }
}

impl FromStr for Fold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            _ => {
                text.parse().map(Self::Number).map_err(|_| format!("expected the number of a fold, or all, got {text}"))
            }
        }
    }
}

impl Fold {
    /// Returns the name of the folder, in nnU-Net's results and in ours.
    pub(crate) fn folder(&self) -> String {
        format!("fold_{self}")
    }
}

/// Which weights of a fold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CheckpointChoice {
    /// Those after the last epoch.
    #[default]
    Final,
    /// Those of the epoch with the best pseudo-Dice.
    Best,
}

impl CheckpointChoice {
    /// Returns the name of the file in the folder of a fold.
    pub(crate) fn file(self) -> &'static str {
        match self {
            Self::Final => "checkpoint_final.pth",
            Self::Best => "checkpoint_best.pth",
        }
    }
}

/// Returns the folder of the model that is meant, relative to the folder or archive: the only one, or the one that `chosen`
/// names.
///
/// # Errors
/// When there is none, or several.
pub(crate) fn model(files: &ModelFiles, chosen: Option<&str>) -> Result<String, ImportError> {
    let folder = |plans: &String| plans.strip_suffix(PLANS).unwrap_or_default().trim_end_matches('/').to_owned();
    let is_model = |folder: &String| files.folders_in(folder).iter().any(|name| name.starts_with("fold_"));
    let mut models: Vec<String> = files.find(PLANS).iter().map(folder).filter(is_model).collect();
    let root = files.describe("");
    if models.is_empty() {
        return Err(ImportError::problem(
            format!("{root} contains no trained model: no folder with plans.json and fold_0, fold_1, ..."),
            "name a folder such as nnUNet_results/Dataset004_Hippocampus/nnUNetTrainer__nnUNetPlans__3d_fullres",
        ));
    }
    // A folder with plans.json of its own is meant itself.
    if chosen.is_none() && models.iter().any(String::is_empty) {
        return Ok(String::new());
    }
    let all = models.iter().map(|model| format!("\n  {model}")).collect::<String>();
    if let Some(chosen) = chosen {
        let chosen = chosen.trim_matches('/');
        models.retain(|model| {
            model == chosen || model.strip_suffix(chosen).is_some_and(|rest| rest.ends_with(['/', '_']))
        });
    }
    match (&models[..], chosen) {
        ([only], _) => Ok(only.clone()),
        ([], Some(chosen)) => Err(ImportError::problem(
            format!("{root} contains no model {chosen}; its models are:{all}"),
            "name one of these with --model",
        )),
        _ => Err(ImportError::problem(
            format!("{root} contains several models:{all}"),
            "name one with --model, for example --model 3d_fullres; each is imported by itself",
        )),
    }
}

/// Returns the folds that are meant: those that were asked for, or else all of a cross-validation that have the checkpoint,
/// or else `all`.
///
/// # Errors
/// When one that was asked for is missing, or there is none.
pub(crate) fn folds(
    files: &ModelFiles,
    model: &str,
    asked: &[Fold],
    checkpoint: CheckpointChoice,
) -> Result<Vec<Fold>, ImportError> {
    let existing =
        files.folders_in(model).into_iter().filter_map(|name| name.strip_prefix("fold_")?.parse::<Fold>().ok());
    let has_checkpoint = |fold: &Fold| files.has(&path(model, &[&fold.folder(), checkpoint.file()]));
    let mut existing: Vec<Fold> = existing.filter(has_checkpoint).collect();
    existing.sort();
    let mut asked = asked.to_vec();
    asked.sort();
    asked.dedup();
    let model = files.describe(model);
    let names = |folds: &[Fold]| folds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if existing.is_empty() {
        let other = match checkpoint {
            CheckpointChoice::Final => "a training that has not ended has only checkpoint_best.pth: --checkpoint best",
            CheckpointChoice::Best => "leave out --checkpoint best to import checkpoint_final.pth",
        };
        return Err(ImportError::problem(format!("no fold of {model} has {}", checkpoint.file()), other));
    }
    if let Some(missing) = asked.iter().find(|fold| !existing.contains(fold)) {
        return Err(ImportError::problem(
            format!("{model} has no {} of fold {missing}, but of {}", checkpoint.file(), names(&existing)),
            "name others with --folds, or leave it out to import all",
        ));
    }
    if !asked.is_empty() {
        return Ok(asked);
    }
    if existing.len() > 1 {
        existing.retain(|fold| *fold != Fold::All);
    }
    Ok(existing)
}

/// Joins the parts of a path in a folder or archive.
pub(crate) fn path(folder: &str, parts: &[&str]) -> String {
    let folder = (!folder.is_empty()).then_some(folder);
    folder.into_iter().chain(parts.iter().copied()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> (tempfile::TempDir, ModelFiles) {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let files = ModelFiles::open(folder.path()).unwrap();
        (folder, files)
    }

    const FULLRES: &str = "D/T__P__3d_fullres";

    #[test]
    fn the_only_model_below_a_folder_is_meant() {
        let (_folder, files) =
            folder(&["D/T__P__3d_fullres/plans.json", "D/T__P__3d_fullres/fold_0/checkpoint_final.pth"]);
        assert_eq!(model(&files, None).unwrap(), FULLRES);
        let (_folder, files) = folder(&["plans.json", "fold_0/checkpoint_final.pth"]);
        assert_eq!(model(&files, None).unwrap(), "");
    }

    #[test]
    fn one_of_several_models_has_to_be_named() {
        let (_folder, files) = folder(&[
            "D/T__P__3d_fullres/plans.json",
            "D/T__P__3d_fullres/fold_0/checkpoint_final.pth",
            "D/T__P__2d/plans.json",
            "D/T__P__2d/fold_0/checkpoint_final.pth",
            "D/preprocessed/plans.json",
        ]);
        let error = model(&files, None).unwrap_err().to_string();
        assert!(error.ends_with("several models:\n  D/T__P__2d\n  D/T__P__3d_fullres"), "{error}");
        for chosen in ["3d_fullres", "T__P__3d_fullres", "D/T__P__3d_fullres/"] {
            assert_eq!(model(&files, Some(chosen)).unwrap(), FULLRES);
        }
        assert!(model(&files, Some("fullres_3d")).unwrap_err().to_string().contains("no model fullres_3d"));
        let (_folder, files) = folder(&["D/preprocessed/plans.json"]);
        assert!(model(&files, None).unwrap_err().to_string().contains("no trained model"));
    }

    #[test]
    fn all_folds_of_the_cross_validation_are_meant() {
        let files = ["fold_0", "fold_1", "fold_all"].map(|fold| format!("D/{fold}/checkpoint_final.pth"));
        let files: Vec<&str> =
            files.iter().map(String::as_str).chain(["D/fold_2/checkpoint_best.pth", "D/fold_x/a"]).collect();
        let (_folder, files) = folder(&files);
        let folds = |asked: &[Fold], checkpoint| folds(&files, "D", asked, checkpoint);
        let [zero, one, two] = [0, 1, 2].map(Fold::Number);
        assert_eq!(folds(&[], CheckpointChoice::Final).unwrap(), [zero.clone(), one.clone()]);
        assert_eq!(
            folds(&[Fold::All, zero.clone(), zero.clone()], CheckpointChoice::Final).unwrap(),
            [zero, Fold::All]
        );
        assert_eq!(folds(&[], CheckpointChoice::Best).unwrap(), std::slice::from_ref(&two));
        let error = folds(&[two], CheckpointChoice::Final).unwrap_err().to_string();
        assert!(error.ends_with("has no checkpoint_final.pth of fold 2, but of 0, 1, all"), "{error}");
        let error = folds(&[one], CheckpointChoice::Best).unwrap_err().to_string();
        assert!(error.contains("of fold 1, but of 2"), "{error}");
    }

    #[test]
    fn folds_are_numbers_or_all() {
        assert_eq!(["3", "all"].map(|text| text.parse::<Fold>().unwrap()), [Fold::Number(3), Fold::All]);
        assert!("-1".parse::<Fold>().is_err() && "".parse::<Fold>().is_err());
        assert_eq!(path("", &["a", "b"]), "a/b");
    }
}
