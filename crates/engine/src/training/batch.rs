//! Batches: patches as tensors on a device.

use burn::tensor::{Device, Tensor, TensorData};

use dataset::patch::Patch;
use volume::Label;

/// A batch of patches on a device.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Intensities, `[batch, channel, x, y, z]`.
    pub image: Tensor<5>,
    /// One-hot classes, `[batch, class, x, y, z]`.
    pub target: Tensor<5>,
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
    /// Transfers patches of one shape to a device. `labels[k]` is the label of class `k + 1`; class 0 is the
    /// background.
    ///
    /// # Errors
    /// When a patch contains a label that is not declared.
    ///
    /// # Panics
    /// When there is no patch.
    pub fn new(patches: &[Patch], labels: &[Label], device: &Device) -> Result<Self, BatchError> {
        let first = patches.first().expect("a batch has at least one patch");
        let ([x, y, z], channels, classes) = (first.shape, first.channels, labels.len() + 1);
        let voxels = x * y * z;
        let mut image = Vec::with_capacity(patches.len() * channels * voxels);
        let mut target = vec![0.0f32; patches.len() * classes * voxels];
        for (patch, target) in patches.iter().zip(target.chunks_exact_mut(classes * voxels)) {
            image.extend_from_slice(&patch.image);
            for (voxel, &value) in patch.label.iter().enumerate() {
                let class = class_of(value, labels)
                    .ok_or_else(|| BatchError::UndeclaredLabel { subject: patch.subject.clone(), value })?;
                target[class * voxels + voxel] = 1.0;
            }
        }
        let shape = |axis: usize| [patches.len(), axis, x, y, z];
        Ok(Self {
            image: Tensor::from_data(TensorData::new(image, shape(channels)), device),
            target: Tensor::from_data(TensorData::new(target, shape(classes)), device),
        })
    }
}

/// Returns the class of a label; `None` if it is not declared.
pub(super) fn class_of(value: Label, labels: &[Label]) -> Option<usize> {
    if value == 0 { Some(0) } else { labels.iter().position(|label| *label == value).map(|index| index + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(label: Vec<Label>) -> Patch {
        Patch {
            subject: "case".into(),
            index: 0,
            start: [0; 3],
            shape: [1, 1, label.len()],
            channels: 1,
            image: vec![0.5; label.len()],
            label,
            params: Vec::new(),
        }
    }

    #[test]
    fn each_voxel_has_one_true_class() {
        let batch = Batch::new(&[patch(vec![0, 7, 3])], &[3, 7], &Device::flex()).unwrap();
        let target = batch.target.into_data_as::<f32>().try_to_vec::<f32>().unwrap();
        assert_eq!(target, [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn an_undeclared_label_names_its_subject() {
        let error = Batch::new(&[patch(vec![0, 9])], &[3, 7], &Device::flex()).unwrap_err();
        assert_eq!(error, BatchError::UndeclaredLabel { subject: "case".into(), value: 9 });
    }
}
