//! The registry: it lists every transform once and generates the enum of an experiment's steps, their parameters and all
//! dispatch.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::composition::Maybe;
use crate::erasure::{Kind, Registered};
use crate::step::Step;
use crate::{Component, NoParams};

/// Declares the registry. A line is a description, `KIND MODULE::TYPE` and, where parameters are sampled, `=> PARAMS`:
///
/// - KIND is the folder of the file: `spatial`, `intensity` or `label`; it selects the trait that the type implements;
/// - MODULE is the file, and the transform's name in an experiment;
/// - PARAMS are its sampled parameters, which `draws.json` contains under the same name.
macro_rules! transforms {
    ($($(#[$doc:meta])* $kind:ident $module:ident::$variant:ident $(=> $params:ident)?,)+) => {
        $(pub use crate::$kind::$module::{$variant $(, $params)?};)+

        /// One step of a chain of transforms.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case", deny_unknown_fields)]
        pub enum Transform {
            $($(#[$doc])* $variant($variant),)+
            /// Applies a list of steps with a given probability: all of them or none.
            Maybe(Maybe),
            /// Applies one of several steps, each with the same probability.
            OneOf(Vec<Transform>),
        }

        /// The sampled parameters of one step. Together with the chain they determine the result.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum TransformParams {
            /// The step has no sampled parameters.
            Nothing,
            $($(
                #[doc = concat!("The parameters of `", stringify!($module), "`.")]
                $variant($params),
            )?)+
            /// The parameters of the steps of a `maybe`; `None` where they are skipped.
            Maybe(Option<Vec<TransformParams>>),
            /// The index of the chosen step of a `one_of`, counted from 0, and its parameters.
            OneOf(usize, Box<TransformParams>),
        }

        /// Returns the name of the transform that another library calls `alias`, such as `flip` for TorchIO's `RandomFlip`.
        /// Case and MONAI's final `d` of transforms of dictionaries do not matter.
        pub fn name_of_alias(alias: &str) -> Option<&'static str> {
            let aliases: [(&str, &[&str]); Transform::NAMES.len() + 2] = [
                $((stringify!($module), <$variant as Component>::aliases()),)+
                ("maybe", &["RandomApply"]),
                ("one_of", &["OneOf"]),
            ];
            let is_same = |known: &str, alias: &str| known.eq_ignore_ascii_case(alias);
            let find = |alias: &str| {
                let mut found = aliases.iter().filter(|(_, known)| known.iter().any(|known| is_same(known, alias)));
                found.next().map(|(name, _)| *name)
            };
            find(alias).or_else(|| find(alias.strip_suffix(['d', 'D'])?))
        }

        impl Transform {
            /// The names of all transforms, as an experiment writes them; `maybe` and `one_of`, which contain other steps,
            /// are not among them.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($module)),+];

            /// Returns the name of the step, as an experiment writes it.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => stringify!($module),)+
                    Self::Maybe(_) => "maybe",
                    Self::OneOf(_) => "one_of",
                }
            }

            /// Returns the step as a trait object.
            pub fn component(&self) -> &dyn Step {
                match self {
                    $(Self::$variant(component) => component,)+
                    Self::Maybe(maybe) => maybe,
                    Self::OneOf(steps) => steps,
                }
            }

            /// Returns the step as a mutable trait object.
            pub fn component_mut(&mut self) -> &mut dyn Step {
                match self {
                    $(Self::$variant(component) => component,)+
                    Self::Maybe(maybe) => maybe,
                    Self::OneOf(steps) => steps,
                }
            }
        }

        $(
            impl Registered for $variant {
                const NAME: &'static str = stringify!($module);

                fn kind(&self) -> Kind<'_, <Self as Component>::Params> {
                    transforms!(@kind $kind)(self)
                }

                transforms!(@params $variant $($params)?);
            }

            impl From<$variant> for Transform {
                fn from(component: $variant) -> Self {
                    Self::$variant(component)
                }
            }
        )+
    };
    (@kind spatial) => { Kind::Spatial };
    (@kind intensity) => { Kind::Intensity };
    (@kind label) => { Kind::Label };
    (@params $variant:ident) => {
        fn wrap(_: NoParams) -> TransformParams {
            TransformParams::Nothing
        }

        fn unwrap(params: &TransformParams) -> Option<&NoParams> {
            (*params == TransformParams::Nothing).then_some(&NoParams)
        }
    };
    (@params $variant:ident $params:ident) => {
        fn wrap(params: $params) -> TransformParams {
            TransformParams::$variant(params)
        }

        fn unwrap(params: &TransformParams) -> Option<&$params> {
            if let TransformParams::$variant(params) = params { Some(params) } else { None }
        }
    };
}

transforms! {
    /// Permutes and flips axes so that the volume is in RAS orientation.
    spatial to_canonical::ToCanonical,
    /// Permutes and flips axes so that the volume is in a given orientation.
    spatial to_orientation::ToOrientation,
    /// Resamples to a spacing or to the grid of a reference image.
    spatial resample::Resample,
    /// Resamples to a shape, keeping the field of view.
    spatial resize::Resize,
    /// Crops a number of voxels from the ends of each axis.
    spatial crop::Crop,
    /// Pads the ends of each axis by a number of voxels.
    spatial pad::Pad,
    /// Crops or pads to a shape.
    spatial crop_or_pad::CropOrPad => CropOrPadParams,
    /// Crops to the bounding box of the voxels that are not 0.
    spatial crop_to_nonzero::CropToNonzero => CropToNonzeroParams,
    /// Pads or crops so that each axis is a multiple of a number of voxels.
    spatial ensure_shape_multiple::EnsureShapeMultiple,
    /// Replaces NaN and infinite intensities.
    intensity replace_non_finite::ReplaceNonFinite,
    /// Clips Hounsfield units to a window and maps it linearly to a range.
    intensity hu_window::HuWindow,
    /// Clips intensities to a range.
    intensity clamp::Clamp,
    /// Maps intensities linearly to a range.
    intensity rescale_intensity::RescaleIntensity,
    /// Subtracts the mean and divides by the standard deviation.
    intensity z_normalize::ZNormalize,
    /// Random scaling, rotation and translation.
    spatial affine::Affine => AffineParams,
    /// Random rotation and scaling of a patch, as in nnU-Net.
    spatial rotate_and_scale::RotateAndScale => RotateAndScaleParams,
    /// Random flips along axes.
    spatial flip::Flip => FlipParams,
    /// Random Gaussian noise.
    intensity noise::Noise => NoiseParams,
    /// Multiplies intensities by a random factor.
    intensity brightness::Brightness => BrightnessParams,
    /// Random contrast around the mean, within the old range of intensities.
    intensity contrast::Contrast => ContrastParams,
    /// Random gamma correction.
    intensity gamma::Gamma => GammaParams,
    /// Random Gaussian blur.
    intensity blur::Blur => BlurParams,
    /// Random smooth bias field, as of MR coils.
    intensity bias_field::BiasField => BiasFieldParams,
    /// Clips and normalizes by the foreground statistics of the training subjects, as nnU-Net does for CT.
    intensity foreground_normalize::ForegroundNormalize => ForegroundNormalizeParams,
    /// Standardizes histograms by landmarks of the training subjects.
    intensity histogram_standardization::HistogramStandardization => HistogramStandardizationParams,
    /// Sets the intensity outside a mask to one value.
    intensity mask::Mask,
    /// Sets the background to intensity 0 again after augmentation.
    intensity mask_background::MaskBackground,
    /// Random elastic deformation.
    spatial elastic_deformation::ElasticDeformation => ElasticDeformationParams,
    /// Random loss of resolution along one axis.
    intensity anisotropy::Anisotropy => AnisotropyParams,
    /// Random loss of resolution along several axes.
    intensity low_resolution::LowResolution => LowResolutionParams,
    /// Swaps random blocks.
    intensity swap::Swap => SwapParams,
    /// Random ghosting, as from periodic motion in MR.
    intensity ghosting::Ghosting => GhostingParams,
    /// Random stripes, as from spikes in the k-space of MR.
    intensity spike::Spike => SpikeParams,
    /// Random motion artefacts, as from patients who move in MR.
    intensity motion::Motion => MotionParams,
    /// Replaces label values.
    label remap_labels::RemapLabels,
    /// Renumbers labels consecutively: 0, 1, 2, ….
    label sequential_labels::SequentialLabels,
    /// Keeps the largest connected component of labels.
    label keep_largest::KeepLargest,
    /// Writes label maps with one channel per class.
    label one_hot::OneHot,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_other_libraries_lead_to_ours() {
        for (alias, name) in [
            ("RandomFlip", "flip"),
            ("RandFlipd", "flip"),
            ("Rand3DElastic", "elastic_deformation"),
            ("ZNormalization", "z_normalize"),
            ("randomaffine", "affine"),
            ("SpatialTransform", "rotate_and_scale"),
            ("GaussianBlurTransform", "blur"),
            ("SimulateLowResolutionTransform", "low_resolution"),
            ("ContrastTransform", "contrast"),
            ("MultiplicativeBrightnessTransform", "brightness"),
            ("OneOf", "one_of"),
        ] {
            assert_eq!(name_of_alias(alias), Some(name), "{alias}");
        }
        assert_eq!(name_of_alias("Lambda"), None);
    }

    #[test]
    fn every_name_is_unique() {
        let mut seen = std::collections::BTreeSet::new();
        for name in Transform::NAMES {
            assert!(name_of_alias(name).is_none_or(|known| known == *name), "{name}");
            assert!(seen.insert(*name));
        }
    }
}
