//! What chance decided, as it is recorded.

use serde::{Deserialize, Serialize};

use super::{
    AffineDraw, AnisotropyDraw, BiasFieldDraw, BlurDraw, CropOrPadDraw, ElasticDraw, Foreground, GhostingDraw,
    Landmarks, MotionDraw, NoiseDraw, SpikeDraw, SwapDraw,
};

/// What one step drew. Together with the chain it says exactly what was computed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drawn {
    /// The step has no chance.
    Nothing,
    /// An affine transform.
    Affine(AffineDraw),
    /// Which axes are mirrored.
    Flip([bool; 3]),
    /// Noise.
    Noise(NoiseDraw),
    /// The exponent of each channel.
    Gamma(Vec<f32>),
    /// A blur.
    Blur(BlurDraw),
    /// A bias field.
    BiasField(BiasFieldDraw),
    /// Where a crop begins, unless it is centred.
    CropOrPad(CropOrPadDraw),
    /// The control points of an elastic deformation.
    ElasticDeformation(ElasticDraw),
    /// Which axis loses resolution, and how much.
    Anisotropy(AnisotropyDraw),
    /// Which blocks are swapped.
    Swap(SwapDraw),
    /// Ghosts.
    Ghosting(GhostingDraw),
    /// Spikes.
    Spike(SpikeDraw),
    /// The patient's movements.
    Motion(MotionDraw),
    /// The foreground's numbers, learnt from the training subjects.
    ForegroundNormalize(Foreground),
    /// The landmarks of histograms, learnt from the training subjects.
    HistogramStandardization(Landmarks),
    /// What the steps drew, or `None` where they are left out.
    Maybe(Option<Vec<Drawn>>),
    /// Which step was taken, and what it drew.
    OneOf(usize, Box<Drawn>),
}

/// What a transform without chance draws.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nothing;

/// Turns what a transform drew into a [`Drawn`], and back.
pub(super) trait Record: Sized {
    fn record(self) -> Drawn;
    fn recall(drawn: &Drawn) -> Option<&Self>;
}

impl Record for Nothing {
    fn record(self) -> Drawn {
        Drawn::Nothing
    }
    fn recall(drawn: &Drawn) -> Option<&Self> {
        matches!(drawn, Drawn::Nothing).then_some(&Nothing)
    }
}

macro_rules! record {
    ($($draw:ty => $variant:ident),*) => {$(
        impl Record for $draw {
            fn record(self) -> Drawn {
                Drawn::$variant(self)
            }
            fn recall(drawn: &Drawn) -> Option<&Self> {
                match drawn {
                    Drawn::$variant(draw) => Some(draw),
                    _ => None,
                }
            }
        }
    )*};
}
record!(AffineDraw => Affine, [bool; 3] => Flip, NoiseDraw => Noise, Vec<f32> => Gamma, BlurDraw => Blur, BiasFieldDraw => BiasField,
    CropOrPadDraw => CropOrPad, ElasticDraw => ElasticDeformation, AnisotropyDraw => Anisotropy, SwapDraw => Swap,
    GhostingDraw => Ghosting, SpikeDraw => Spike, MotionDraw => Motion, Foreground => ForegroundNormalize,
    Landmarks => HistogramStandardization);
