//! Batches: patches as tensors on a device.

use burn::tensor::{Device, Tensor, TensorData};

use crate::experiment::targets::Targets;
use dataset::patch::Patch;
use nn::losses::Target;
use volume::Label;

/// A batch of patches on a device.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Intensities, `[batch, channel, x, y, z]`.
    pub image: Tensor<5>,
    /// What the logits are compared with.
    pub target: Target,
    /// The weight of each patch's loss; empty if all have the same weight.
    pub patch_weights: Vec<f64>,
}

/// A patch that cannot be trained on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// A label map contains a label that the experiment does not declare.
    #[error(
        "subject {subject} contains label {value}, which data.labels does not declare; declare it, or fix the label map"
    )]
    UndeclaredLabel {
        /// The subject's name.
        subject: String,
        /// The value.
        value: Label,
    },
}

impl Batch {
    /// Transfers patches of one shape to a device. Voxels with the label to ignore have no class and the weight 0.
    ///
    /// # Errors
    /// When a patch contains a label that is not declared.
    ///
    /// # Panics
    /// When there is no patch.
    pub fn new(patches: &[Patch], targets: &Targets, device: &Device) -> Result<Self, BatchError> {
        let first = patches.first().expect("a batch has at least one patch");
        let ([x, y, z], channels, classes) = (first.shape, first.channels, targets.num_classes());
        let voxels = x * y * z;
        let table = ClassTable::new(targets);
        let mut image = Vec::with_capacity(patches.len() * channels * voxels);
        let mut target = vec![0.0f32; patches.len() * classes * voxels];
        for (patch, target) in patches.iter().zip(target.chunks_exact_mut(classes * voxels)) {
            image.extend_from_slice(&patch.image);
            for (voxel, &value) in patch.label.iter().enumerate() {
                let classes = table
                    .classes(value)
                    .ok_or_else(|| BatchError::UndeclaredLabel { subject: patch.subject.clone(), value })?;
                for class in classes {
                    target[class * voxels + voxel] = 1.0;
                }
            }
        }
        let tensor = |values: Vec<f32>, axis: usize| {
            Tensor::from_data(TensorData::new(values, [patches.len(), axis, x, y, z]), device)
        };
        let are_weighted = targets.ignore.is_some() || patches.iter().any(|patch| !patch.weights.is_empty());
        let weights = are_weighted.then(|| patches.iter().flat_map(|patch| voxel_weights(patch, targets)).collect());
        Ok(Self {
            image: tensor(image, channels),
            target: Target {
                classes: tensor(target, classes),
                weights: weights.map(|weights| tensor(weights, 1)),
                has_background: targets.has_background(),
            },
            patch_weights: Vec::new(),
        })
    }
}

/// Returns the weight of each voxel of a patch.
fn voxel_weights<'a>(patch: &'a Patch, targets: &Targets) -> impl Iterator<Item = f32> + use<'a> {
    let ignore = targets.ignore;
    patch.label.iter().enumerate().map(move |(voxel, value)| match patch.weights.get(voxel) {
        _ if Some(*value) == ignore => 0.0,
        Some(weight) => *weight,
        None => 1.0,
    })
}

/// The classes of each label.
pub(super) struct ClassTable(Vec<(Label, Vec<usize>)>);

impl ClassTable {
    pub(super) fn new(targets: &Targets) -> Self {
        let labels = std::iter::once(0).chain(targets.labels.iter().map(|label| label.value)).enumerate();
        let classes = |(index, value): (usize, Label)| match targets.has_background() {
            true => (value, vec![index]),
            false => {
                let regions = targets.regions.iter().enumerate();
                (value, regions.filter(|(_, region)| region.labels.contains(&value)).map(|(class, _)| class).collect())
            }
        };
        Self(labels.map(classes).chain(targets.ignore.map(|ignore| (ignore, Vec::new()))).collect())
    }

    /// Returns the classes of a label; `None` if it is not declared.
    pub(super) fn classes(&self, value: Label) -> Option<&[usize]> {
        self.0.iter().find(|(label, _)| *label == value).map(|(_, classes)| classes.as_slice())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::experiment::targets::RegionSpec;

    /// Returns a patch with these labels in a row.
    pub fn patch(label: Vec<Label>) -> Patch {
        Patch {
            subject: "case".into(),
            index: 0,
            start: [0; 3],
            affine: volume::Affine::IDENTITY,
            shape: [1, 1, label.len()],
            channels: 1,
            image: vec![0.5; label.len()],
            label,
            weights: Vec::new(),
            params: Vec::new(),
            mask_params: Vec::new(),
        }
    }

    fn targets(regions: &[(&str, &[Label])], ignore: Option<Label>) -> Targets {
        let labels = [(3, "a".to_owned()), (7, "b".to_owned())].into();
        let spec = |labels: &[Label]| RegionSpec { labels: labels.to_vec(), write: Some(labels[0]) };
        let regions: Vec<_> = regions.iter().map(|(name, labels)| ((*name).to_owned(), spec(labels))).collect();
        Targets::new(&labels, &regions, ignore).unwrap()
    }

    fn host(tensor: Tensor<5>) -> Vec<f32> {
        tensor.into_data_as::<f32>().try_to_vec().unwrap()
    }

    #[test]
    fn each_voxel_has_one_true_class() {
        let batch = Batch::new(&[patch(vec![0, 7, 3])], &targets(&[], None), &Device::flex()).unwrap();
        assert_eq!(host(batch.target.classes), [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
        assert!(batch.target.weights.is_none() && batch.target.has_background);
    }

    #[test]
    fn regions_overlap_and_the_background_is_in_none() {
        let targets = targets(&[("whole", &[3, 7]), ("core", &[7])], None);
        let batch = Batch::new(&[patch(vec![0, 7, 3])], &targets, &Device::flex()).unwrap();
        assert_eq!(host(batch.target.classes), [0.0, 1.0, 1.0, 0.0, 1.0, 0.0]);
        assert!(!batch.target.has_background);
    }

    #[test]
    fn an_ignored_voxel_has_no_class_and_no_weight() {
        let batch = Batch::new(&[patch(vec![9, 3])], &targets(&[], Some(9)), &Device::flex()).unwrap();
        assert_eq!(host(batch.target.classes), [0.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
        assert_eq!(host(batch.target.weights.unwrap()), [0.0, 1.0]);
    }

    #[test]
    fn a_weighted_voxel_has_its_weight_unless_it_is_ignored() {
        let mut weighted = patch(vec![9, 3]);
        weighted.weights = vec![0.5, 2.0];
        let batch = Batch::new(&[weighted, patch(vec![0, 0])], &targets(&[], Some(9)), &Device::flex()).unwrap();
        assert_eq!(host(batch.target.weights.unwrap()), [0.0, 2.0, 1.0, 1.0]);
    }

    #[test]
    fn an_undeclared_label_names_its_subject() {
        let error = Batch::new(&[patch(vec![0, 9])], &targets(&[], None), &Device::flex()).unwrap_err();
        assert_eq!(error, BatchError::UndeclaredLabel { subject: "case".into(), value: 9 });
    }
}
