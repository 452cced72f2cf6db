//! Tensors of `flex` as numbers in order, and back.

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use burn::tensor::TensorData;

/// A tensor whose numbers lie in the order of its axes.
pub fn in_order(tensor: FlexTensor) -> FlexTensor {
    tensor.to_contiguous()
}

/// The numbers of a tensor in order, without a copy where nobody else has them.
pub fn owned(tensor: FlexTensor) -> Vec<f32> {
    in_order(tensor).into_data().try_into_vec().expect("32-bit floats")
}

/// The numbers of a tensor in order.
pub fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("32-bit floats in order")
}

/// The sizes of a tensor's axes.
pub fn dims<const D: usize>(tensor: &FlexTensor) -> [usize; D] {
    tensor.shape().dims()
}

/// A tensor of numbers in the order of its axes.
pub fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}
