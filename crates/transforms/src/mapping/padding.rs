//! Padding modes.

use crate::Fill;
use values::number_or_word::NumberOrWord;
use values::written_as_number_or_word;

/// A padding mode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Padding {
    /// One intensity, with label 0.
    Fill(Fill),
    /// Content of the volume, labels too.
    Extension(Extension),
}

/// How a volume is extended beyond its ends from its own content, as by numpy's `pad`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    /// The last voxel is repeated.
    Edge,
    /// Mirrored at the centre of the last voxel, which is not repeated.
    Reflect,
    /// Mirrored at the edge of the last voxel, which is repeated.
    Symmetric,
    /// Periodic: continued from the other end.
    Wrap,
    /// Intensities decrease linearly to 0; labels are 0.
    LinearRamp,
}

impl Default for Padding {
    fn default() -> Self {
        Self::Fill(Fill::Value(0.0))
    }
}

impl Padding {
    /// Returns the intensity of added voxels, 0 for an extension.
    pub(crate) fn fill(self) -> Fill {
        match self {
            Self::Fill(fill) => fill,
            Self::Extension(_) => Fill::Value(0.0),
        }
    }

    /// Returns the mode that extends the volume from its own content; `None` for one intensity.
    pub(crate) fn extension(self) -> Option<Extension> {
        match self {
            Self::Fill(_) => None,
            Self::Extension(extension) => Some(extension),
        }
    }
}

impl NumberOrWord for Padding {
    const MEANINGS: &'static [Self] = &[
        Self::Fill(Fill::MinimumOfAll),
        Self::Fill(Fill::MaximumOfAll),
        Self::Fill(Fill::MeanOfAll),
        Self::Fill(Fill::MedianOfAll),
        Self::Extension(Extension::Edge),
        Self::Extension(Extension::Reflect),
        Self::Extension(Extension::Symmetric),
        Self::Extension(Extension::Wrap),
        Self::Extension(Extension::LinearRamp),
    ];
    const WORDS: &'static [&'static str] =
        &["minimum", "maximum", "mean", "median", "edge", "reflect", "symmetric", "wrap", "linear_ramp"];

    fn from_number(number: f32) -> Self {
        Self::Fill(Fill::Value(number))
    }

    fn number(&self) -> Option<f32> {
        match self {
            Self::Fill(Fill::Value(value)) => Some(*value),
            _ => None,
        }
    }
}

written_as_number_or_word!(Padding);

impl Extension {
    /// Returns the source index of an index that may be outside an axis of `size` voxels.
    pub fn source(self, index: i64, size: usize) -> usize {
        let size = size as i64;
        let mirrored = |index: i64, period: i64| {
            let index = index.rem_euclid(period.max(1));
            index.min(period - index)
        };
        let source = match self {
            Self::Edge | Self::LinearRamp => index.clamp(0, size - 1),
            Self::Reflect => mirrored(index, 2 * (size - 1)),
            Self::Symmetric => match index.rem_euclid(2 * size) {
                index if index < size => index,
                index => 2 * size - 1 - index,
            },
            Self::Wrap => index.rem_euclid(size),
        };
        source as usize
    }

    /// Returns the factor of the intensity at an index, of an axis of `size` voxels with `before` and `after` padded voxels.
    pub fn factor(self, index: i64, size: usize, [before, after]: [i64; 2]) -> f32 {
        let beyond = |distance: i64, added: i64| (added as f64 - distance as f64) / added as f64;
        match self {
            Self::LinearRamp if index < 0 => beyond(-index, before) as f32,
            Self::LinearRamp if index >= size as i64 => beyond(index - size as i64 + 1, after) as f32,
            _ => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_those_of_numpy_pad() {
        let sources =
            |extension: Extension| -> Vec<usize> { (-5..8).map(|index| extension.source(index, 3)).collect() };
        // numpy.pad([0, 1, 2], 5, mode=...)
        assert_eq!(sources(Extension::Edge), [0, 0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 2, 2]);
        assert_eq!(sources(Extension::Reflect), [1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1]);
        assert_eq!(sources(Extension::Symmetric), [1, 2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0, 1]);
        assert_eq!(sources(Extension::Wrap), [1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1]);
        assert_eq!((-3..4).map(|index| Extension::Reflect.source(index, 1)).collect::<Vec<_>>(), [0; 7]);
    }

    #[test]
    fn a_ramp_ends_at_zero() {
        let factors: Vec<f32> = (-4..5).map(|index| Extension::LinearRamp.factor(index, 3, [4, 2])).collect();
        assert_eq!(factors, [0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 0.5, 0.0]);
    }

    #[test]
    fn a_mode_is_a_number_or_a_word() {
        let read = |yaml: &str| serde_yaml::from_str::<Padding>(yaml);
        assert_eq!(read("-1000").unwrap(), Padding::Fill(Fill::Value(-1000.0)));
        assert_eq!(read("null").unwrap(), read("minimum").unwrap());
        assert_eq!(read("wrap").unwrap(), Padding::Extension(Extension::Wrap));
        assert!(read("reflekt").unwrap_err().to_string().contains("reflect"));
        for yaml in ["-1.5", "null", "median", "linear_ramp"] {
            assert_eq!(serde_yaml::to_string(&read(yaml).unwrap()).unwrap().trim(), yaml);
        }
    }
}
