//! The exponential moving average of the weights.

use burn::tensor::Tensor;

/// The exponential moving average of the trained weights over the steps of a run, as PyTorch's `AveragedModel` with
/// `get_ema_multi_avg_fn`: it starts as the weights after the first step.
#[derive(Clone, Debug)]
pub(super) struct WeightAverage {
    decay: f64,
    /// The average of each trained parameter; `None` before the first step.
    values: Option<Vec<Tensor<1>>>,
}

impl WeightAverage {
    /// Returns the average before the first step.
    pub(super) fn new(decay: f64) -> Self {
        Self { decay, values: None }
    }

    /// Adds the weights after a step.
    pub(super) fn add<'a>(&mut self, weights: impl Iterator<Item = &'a Tensor<1>>) {
        let weights = weights.map(|value| value.clone().inner());
        let values = match self.values.take() {
            None => weights.collect(),
            Some(averages) => {
                let step = |(average, value): (Tensor<1>, Tensor<1>)| {
                    let difference = value.sub(average.clone());
                    average.add(difference.mul_scalar(1.0 - self.decay))
                };
                averages.into_iter().zip(weights).map(step).collect()
            }
        };
        self.values = Some(values);
    }

    /// Returns the average of each trained parameter; `None` before the first step.
    pub(super) fn values(&self) -> Option<&[Tensor<1>]> {
        self.values.as_deref()
    }

    /// Replaces the averages by those of a checkpoint.
    pub(super) fn restore(&mut self, values: Vec<Tensor<1>>) {
        self.values = Some(values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    /// Weights after each of five steps, and what PyTorch 2.12.1 averages them to:
    ///
    /// ```python
    /// model = torch.nn.Linear(3, 1, bias=False)
    /// average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    /// for step in range(5):
    ///     model.weight.data = torch.tensor([[0.5 * step, 1.0 - step ** 2, 0.1 ** step]])
    ///     average.update_parameters(model)
    ///     print(average.module.weight.tolist())
    /// ```
    const EXPECTED: [[f32; 3]; 5] = [
        [0.0, 1.0, 1.0],
        [0.05, 0.9, 0.91],
        [0.145, 0.51, 0.82],
        [0.2805, -0.34100005, 0.7381],
        [0.45245, -1.8069001, 0.66429996],
    ];

    #[test]
    fn the_average_is_pytorchs() {
        let device = Device::flex();
        let mut average = WeightAverage::new(0.9);
        assert!(average.values().is_none());
        for (step, expected) in EXPECTED.iter().enumerate() {
            let number = step as f32;
            let weights = vec![0.5 * number, 1.0 - number * number, 0.1f32.powi(step as i32)];
            average.add([Tensor::<1>::from_data(TensorData::new(weights, [3]), &device)].iter());
            let [value] = average.values().unwrap() else { panic!("expected one parameter") };
            let value = nn::parameters::to_host(value);
            assert!(value.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 2e-7 * b.abs().max(1.0)), "{value:?}");
        }
    }
}
