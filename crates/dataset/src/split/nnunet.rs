//! nnU-Net's own cross-validation, reproduced from the names of the subjects.

use super::SplitError;
use super::mersenne_twister::MersenneTwister;

/// The seed of nnU-Net's folds.
const SEED: u32 = 12345;
/// The number of nnU-Net's folds.
pub(super) const COUNT: usize = 5;

/// Returns the validation subjects of each fold; `names` are sorted.
///
/// nnU-Net's folds are those of scikit-learn's `KFold(n_splits=5, shuffle=True, random_state=12345)` over the sorted names:
/// consecutive parts of the shuffled names, the first of which have one subject more.
pub(super) fn folds(names: &[String]) -> Result<Vec<Vec<String>>, SplitError> {
    if names.len() < COUNT {
        return Err(SplitError::TooFewForNnunet { count: COUNT, subjects: names.len() });
    }
    let mut shuffled = names.to_vec();
    MersenneTwister::new(SEED).shuffle(&mut shuffled);
    let mut rest = shuffled.into_iter();
    let size = |fold: usize| names.len() / COUNT + usize::from(fold < names.len() % COUNT);
    Ok((0..COUNT).map(|fold| rest.by_ref().take(size(fold)).collect()).collect())
}
