//! What chance decided, as it is recorded.

use serde::{Deserialize, Serialize};

use super::{
    AffineParams, AnisotropyParams, BiasFieldParams, BlurParams, CropOrPadParams, ElasticParams, Foreground,
    GhostingParams, Landmarks, MotionParams, NoiseParams, SpikeParams, SwapParams,
};

/// What one step drew. Together with the chain it says exactly what was computed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransformParams {
    /// The step has no chance.
    Nothing,
    /// An affine transform.
    Affine(AffineParams),
    /// Which axes are mirrored.
    Flip([bool; 3]),
    /// Noise.
    Noise(NoiseParams),
    /// The exponent of each channel.
    Gamma(Vec<f32>),
    /// A blur.
    Blur(BlurParams),
    /// A bias field.
    BiasField(BiasFieldParams),
    /// Where a crop begins, unless it is centred.
    CropOrPad(CropOrPadParams),
    /// The control points of an elastic deformation.
    ElasticDeformation(ElasticParams),
    /// Which axis loses resolution, and how much.
    Anisotropy(AnisotropyParams),
    /// Which blocks are swapped.
    Swap(SwapParams),
    /// Ghosts.
    Ghosting(GhostingParams),
    /// Spikes.
    Spike(SpikeParams),
    /// The patient's movements.
    Motion(MotionParams),
    /// The foreground's numbers, learnt from the training subjects.
    ForegroundNormalize(Foreground),
    /// The landmarks of histograms, learnt from the training subjects.
    HistogramStandardization(Landmarks),
    /// What the steps drew, or `None` where they are left out.
    Maybe(Option<Vec<TransformParams>>),
    /// Which step was taken, and what it drew.
    OneOf(usize, Box<TransformParams>),
}

/// What a transform without chance draws.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoParams;

/// Turns what a transform drew into a [`TransformParams`], and back.
pub(super) trait Record: Sized {
    fn record(self) -> TransformParams;
    fn recall(drawn: &TransformParams) -> Option<&Self>;
}

impl Record for NoParams {
    fn record(self) -> TransformParams {
        TransformParams::Nothing
    }
    fn recall(drawn: &TransformParams) -> Option<&Self> {
        matches!(drawn, TransformParams::Nothing).then_some(&NoParams)
    }
}

macro_rules! record {
    ($($draw:ty => $variant:ident),*) => {$(
        impl Record for $draw {
            fn record(self) -> TransformParams {
                TransformParams::$variant(self)
            }
            fn recall(drawn: &TransformParams) -> Option<&Self> {
                match drawn {
                    TransformParams::$variant(draw) => Some(draw),
                    _ => None,
                }
            }
        }
    )*};
}
record!(AffineParams => Affine, [bool; 3] => Flip, NoiseParams => Noise, Vec<f32> => Gamma, BlurParams => Blur, BiasFieldParams => BiasField,
    CropOrPadParams => CropOrPad, ElasticParams => ElasticDeformation, AnisotropyParams => Anisotropy, SwapParams => Swap,
    GhostingParams => Ghosting, SpikeParams => Spike, MotionParams => Motion, Foreground => ForegroundNormalize,
    Landmarks => HistogramStandardization);
