//! From logits to probabilities.

/// How logits become probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// They stay what they are.
    None,
    /// Each class on its own, for a loss that trains sigmoids.
    Sigmoid,
    /// All classes together.
    Softmax,
}

impl Activation {
    /// Turns logits `[class, voxel]` into probabilities, in place.
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
        let of_class = |class: usize| class * voxels + voxel;
        let largest = (0..classes).map(|class| values[of_class(class)]).fold(f32::MIN, f32::max);
        let mut sum = 0.0;
        for class in 0..classes {
            let value = (values[of_class(class)] - largest).exp();
            values[of_class(class)] = value;
            sum += value;
        }
        for class in 0..classes {
            values[of_class(class)] /= sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_softmax_sums_to_one() {
        let mut values = vec![1.0, -50.0, 2.0, 800.0, 3.0, 0.5];
        Activation::Softmax.apply(&mut values, 3);
        for voxel in 0..2 {
            let sum: f32 = (0..3).map(|class| values[class * 2 + voxel]).sum();
            assert!((sum - 1.0).abs() < 1e-6, "{sum}");
        }
    }

    #[test]
    fn a_sigmoid_of_zero_is_one_half() {
        let mut values = vec![0.0, 100.0];
        Activation::Sigmoid.apply(&mut values, 2);
        assert_eq!(values, [0.5, 1.0]);
    }
}
