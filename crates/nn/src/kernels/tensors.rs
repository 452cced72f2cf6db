//! Conversion between tensors of `flex` and contiguous slices.

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use burn::tensor::TensorData;

/// Returns the tensor in contiguous layout.
pub fn contiguous(tensor: FlexTensor) -> FlexTensor {
    tensor.to_contiguous()
}

/// Returns the values of a tensor in contiguous order, without a copy if the tensor is their only owner.
pub fn into_values(tensor: FlexTensor) -> Vec<f32> {
    contiguous(tensor).into_data().try_into_vec().expect("32-bit floats")
}

/// Returns the values of a contiguous tensor.
pub fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("contiguous 32-bit floats")
}

/// Returns the shape of a tensor.
pub fn dims<const D: usize>(tensor: &FlexTensor) -> [usize; D] {
    tensor.shape().dims()
}

/// Creates a tensor from values in contiguous order.
pub fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}
