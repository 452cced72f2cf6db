//! Convolution with autodiff.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};

use super::super::convolution::{Direction, Kernels, VolumeConvolution};
use super::super::slab::Maps;
use super::super::stencil::Stencil;
use super::super::tensors::{contiguous, dims, into_values, tensor, values};
use super::super::{sum, weight_gradient};
use super::track;

/// The operands of a convolution or transposed convolution, apart from its bias.
#[derive(Clone, Debug)]
pub(in super::super) struct ConvolutionState<const N: usize> {
    inputs: [FlexTensor; N],
    weight: FlexTensor,
    stencil: Stencil,
    /// From the inputs to the output.
    direction: Direction,
    slope: f32,
}

impl<const N: usize> ConvolutionState<N> {
    pub(in super::super) fn convolution(
        inputs: [FlexTensor; N],
        weight: FlexTensor,
        stencil: Stencil,
        slope: f32,
    ) -> Self {
        let (inputs, weight) = (inputs.map(contiguous), contiguous(weight));
        Self { inputs, weight, stencil, direction: Direction::Gather, slope }
    }

    pub(in super::super) fn forward(&self, bias: FlexTensor) -> FlexTensor {
        let ([batch, _, grid @ ..], bias) = (dims::<5>(&self.inputs[0]), contiguous(bias));
        let (inputs, kernels) = (&self.maps(), kernels(&self.weight));
        let (coarse, [x, y, z], outputs) = match self.direction {
            Direction::Gather => (self.stencil.coarse(grid), self.stencil.coarse(grid), kernels.coarse),
            Direction::Scatter => (grid, self.stencil.fine(grid), kernels.fine),
        };
        let convolution = VolumeConvolution {
            batch,
            coarse,
            stencil: self.stencil,
            direction: self.direction,
            inputs,
            kernels,
            bias: values(&bias),
            slope: self.slope,
        };
        tensor(convolution.compute(&[outputs]).remove(0), [batch, outputs, x, y, z])
    }

    /// Computes the result and registers its backward pass; `M` is `N` plus weight and bias.
    pub(in super::super) fn track<C: CheckpointStrategy, const M: usize>(
        self,
        bias: FlexTensor,
        nodes: [NodeGuard; M],
    ) -> FloatTensor<Autodiff<Flex, C>>
    where
        ConvolutionBackward: Backward<Flex, M, State = (Self, Option<FlexTensor>)>,
    {
        let output = self.forward(bias);
        // The output has the sign of its value before the activation.
        let activated = (self.slope != 1.0).then(|| output.clone());
        track::<C, _, M>(ConvolutionBackward, nodes, (self, activated), output)
    }

    /// Computes the gradients of inputs, weight and bias from the gradient of the output, which is given if an activation
    /// follows.
    fn backward(self, activated: Option<FlexTensor>, gradient: FlexTensor, parents: Parents<N>, grads: &mut Gradients) {
        let [batch, outputs, grid @ ..] = dims::<5>(&gradient);
        let mut gradient = into_values(gradient);
        if let Some(output) = activated {
            sum::backward(&mut gradient, values(&output), self.slope);
        }
        let shapes = self.inputs.each_ref().map(dims::<5>);
        let output = OutputGradient { batch, channels: outputs, grid, values: gradient };
        self.register_gradients(&output, [parents.weight, parents.bias], grads);
        if parents.inputs.iter().any(Option::is_some) {
            let gradients = self.into_input_gradients(&output);
            for ((parent, shape), gradient) in parents.inputs.into_iter().zip(shapes).zip(gradients) {
                if let Some(parent) = parent {
                    grads.register::<Flex>(parent, tensor(gradient, shape));
                }
            }
        }
    }

    /// Computes the gradients of weight and bias, and registers those that have a node.
    pub(super) fn register_gradients(
        &self,
        output: &OutputGradient,
        [weight, bias]: [Option<NodeId>; 2],
        grads: &mut Gradients,
    ) {
        let (batch, grid, maps) = (output.batch, output.grid, self.maps());
        if let Some(bias) = bias {
            let gradient = weight_gradient::bias(batch, grid.iter().product(), output.maps());
            grads.register::<Flex>(bias, tensor(gradient, [output.channels]));
        }
        if let Some(weight) = weight {
            let (coarse, stencil) = (self.coarse(grid), self.stencil);
            let gradient = match self.direction {
                Direction::Gather => weight_gradient::weight(batch, coarse, stencil, &maps, output.maps()),
                Direction::Scatter => weight_gradient::weight(batch, coarse, stencil, &[output.maps()], maps[0]),
            };
            grads.register::<Flex>(weight, tensor(gradient, dims::<5>(&self.weight)));
        }
    }

    /// Frees the inputs and computes their gradients.
    pub(super) fn into_input_gradients(self, output: &OutputGradient) -> Vec<Vec<f32>> {
        let (coarse, channels) = (self.coarse(output.grid), self.inputs.each_ref().map(|input| dims::<5>(input)[1]));
        let Self { inputs, weight, stencil, direction, .. } = self;
        drop(inputs);
        let convolution = VolumeConvolution {
            batch: output.batch,
            coarse,
            stencil,
            direction: match direction {
                Direction::Gather => Direction::Scatter,
                Direction::Scatter => Direction::Gather,
            },
            inputs: &[output.maps()],
            kernels: kernels(&weight),
            bias: &[],
            slope: 1.0,
        };
        convolution.compute(&channels)
    }

    /// Returns the coarse grid from that of the output.
    fn coarse(&self, output: [usize; 3]) -> [usize; 3] {
        match self.direction {
            Direction::Gather => output,
            Direction::Scatter => self.stencil.coarse(output),
        }
    }

    fn maps(&self) -> [Maps<'_>; N] {
        self.inputs.each_ref().map(|input| Maps { values: values(input), channels: dims::<5>(input)[1] })
    }
}

/// Returns the values and the numbers of channels of a weight.
fn kernels(weight: &FlexTensor) -> Kernels<'_> {
    let [coarse, fine, ..] = dims::<5>(weight);
    Kernels { weights: values(weight), coarse, fine }
}

impl ConvolutionState<1> {
    pub(in super::super) fn transposed(input: FlexTensor, weight: FlexTensor, stencil: Stencil) -> Self {
        let (inputs, weight) = ([contiguous(input)], contiguous(weight));
        Self { inputs, weight, stencil, direction: Direction::Scatter, slope: 1.0 }
    }
}

/// The backward pass of a convolution.
#[derive(Debug)]
pub(in super::super) struct ConvolutionBackward;

/// The gradient of a convolution's output, `[batch, channel, x, y, z]`.
pub(super) struct OutputGradient {
    pub batch: usize,
    pub channels: usize,
    pub grid: [usize; 3],
    pub values: Vec<f32>,
}

impl OutputGradient {
    fn maps(&self) -> Maps<'_> {
        Maps { values: &self.values, channels: self.channels }
    }
}

/// The nodes of a convolution's operands; `None` for those that need no gradient.
struct Parents<const N: usize> {
    inputs: [Option<NodeId>; N],
    weight: Option<NodeId>,
    bias: Option<NodeId>,
}

impl Backward<Flex, 3> for ConvolutionBackward {
    type State = (ConvolutionState<1>, Option<FlexTensor>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<Flex>(&ops.node);
        let ([input, weight, bias], (state, activated)) = (ops.parents.map(|node| Some(node?.id)), ops.state);
        state.backward(activated, gradient, Parents { inputs: [input], weight, bias }, grads);
    }
}

impl Backward<Flex, 4> for ConvolutionBackward {
    type State = (ConvolutionState<2>, Option<FlexTensor>);

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<Flex>(&ops.node);
        let ([first, second, weight, bias], (state, activated)) = (ops.parents.map(|node| Some(node?.id)), ops.state);
        state.backward(activated, gradient, Parents { inputs: [first, second], weight, bias }, grads);
    }
}
