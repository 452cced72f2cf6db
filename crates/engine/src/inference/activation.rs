//! Activation functions: from logits to probabilities.

/// An activation function that converts logits to probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinalActivation {
    /// The identity, which leaves values unchanged.
    None,
    /// The sigmoid of each class, for losses that use sigmoids.
    Sigmoid,
    /// The softmax over classes.
    Softmax,
}

impl FinalActivation {
    /// Replaces logits `[class, voxel]` by probabilities, in place.
    pub fn apply(self, values: &mut [f32], classes: usize) {
        match self {
            Self::None => {}
            Self::Sigmoid => values.iter_mut().for_each(|value| *value = 1.0 / (1.0 + (-*value).exp())),
            Self::Softmax => softmax(values, classes),
        }
    }
}

fn softmax(values: &mut [f32], classes: usize) {
    let voxels = values.len() / classes;
    for voxel in 0..voxels {
        let index = |class: usize| class * voxels + voxel;
        let largest = (0..classes).map(|class| values[index(class)]).fold(f32::MIN, f32::max);
        let mut sum = 0.0;
        for class in 0..classes {
            let value = (values[index(class)] - largest).exp();
            values[index(class)] = value;
            sum += value;
        }
        for class in 0..classes {
            values[index(class)] /= sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_softmax_sums_to_one() {
        let mut values = vec![1.0, -50.0, 2.0, 800.0, 3.0, 0.5];
        FinalActivation::Softmax.apply(&mut values, 3);
        for voxel in 0..2 {
            let sum: f32 = (0..3).map(|class| values[class * 2 + voxel]).sum();
            assert!((sum - 1.0).abs() < 1e-6, "{sum}");
        }
    }

    #[test]
    fn a_sigmoid_of_zero_is_one_half() {
        let mut values = vec![0.0, 100.0];
        FinalActivation::Sigmoid.apply(&mut values, 2);
        assert_eq!(values, [0.5, 1.0]);
    }
}
