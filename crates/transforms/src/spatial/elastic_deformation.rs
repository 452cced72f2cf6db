//! Random elastic deformation.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::mapping::elastic_displacement::control_axes;
use crate::validation::{MAX_DISPLACEMENT, keys_where, same_count, within};
use crate::{
    Component, ElasticDisplacement, Fill, GridMapping, Incoming, Interpolation, KeyProblem, Lattice, Map,
    SpatialTransform,
};
use random::Rng;
use values::{NonNegative, single_or_null};
use volume::Grid;

/// Random elastic deformation, as TorchIO's RandomElasticDeformation: random displacements of a coarse grid of control
/// points, interpolated by a cubic B-spline.
///
/// ```yaml
/// - elastic_deformation: { num_control_points: [7, 7, 7], max_displacement_mm: [7.5, 7.5, 7.5] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ElasticDeformation {
    /// Number of control points along x, y and z of world coordinates, from 4 to 64, default `[7, 7, 7]`; the outermost
    /// are outside the volume.
    #[serde(default = "seven_points")]
    #[schemars(inner(range(min = 4)))]
    pub num_control_points: [usize; 3],
    /// Maximum displacement of a control point along x, y and z in millimetres, default `[7.5, 7.5, 7.5]`. Above half the
    /// distance between control points the deformation may fold the volume.
    #[serde(default = "seven_and_a_half_mm")]
    pub max_displacement_mm: [NonNegative; 3],
    /// Number of outer layers of control points with displacement 0: 0, 1 or 2 (default). With 2, the borders of the image
    /// do not move.
    #[serde(default = "two_borders")]
    #[schemars(range(max = 2))]
    pub locked_borders: usize,
    /// Intensity of voxels from outside the image, such as -1000; `null` (default) is the minimum of the image. Labels
    /// outside are 0.
    #[serde(default, deserialize_with = "single_or_null")]
    pub fill: Option<f32>,
    /// Interpolation of intensities: `nearest`, `linear` (default) or `cubic`.
    #[serde(default)]
    pub interpolation: Interpolation,
}

/// Minimum number of control points of a cubic spline along an axis.
const MIN_POINTS: usize = 4;

/// Maximum number of control points along an axis: finer fields are hardly smooth and need more than 50 MB.
const MAX_POINTS: usize = 64;

fn seven_points() -> [usize; 3] {
    [7; 3]
}

fn seven_and_a_half_mm() -> [NonNegative; 3] {
    [NonNegative::new(7.5).expect("7.5 is not negative"); 3]
}

fn two_borders() -> usize {
    2
}

/// The displacement of each control point in LPS millimetres, as in TorchIO and ITK: points `[x, y, z]` in LPS order, z
/// fastest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ElasticDeformationParams(pub Vec<[f64; 3]>);

impl Component for ElasticDeformation {
    type Params = ElasticDeformationParams;

    fn aliases() -> &'static [&'static str] {
        &["RandomElasticDeformation", "ElasticDeformation", "Rand3DElastic", "RandElastic"]
    }

    fn sample_params(&self, rng: &mut Rng, _: &Incoming) -> ElasticDeformationParams {
        let [count_x, count_y, count_z] = self.num_control_points;
        let mut values = Vec::with_capacity(count_x * count_y * count_z);
        for x in 0..count_x {
            for y in 0..count_y {
                for z in 0..count_z {
                    let displacement = self.max_displacement_mm.map(|max| (2.0 * rng.unit() - 1.0) * max.get());
                    let index = [x, y, z];
                    let is_locked = (0..3).any(|axis| {
                        index[axis].min(self.num_control_points[axis] - 1 - index[axis]) < self.locked_borders
                    });
                    values.push(if is_locked { [0.0; 3] } else { displacement });
                }
            }
        }
        ElasticDeformationParams(values)
    }

    fn random_keys(&self) -> Vec<&'static str> {
        keys_where(&[("max_displacement_mm", self.max_displacement_mm.iter().any(|mm| mm.get() > 0.0))])
    }

    fn validate(&self) -> Vec<KeyProblem> {
        let points = |message: String| Some(KeyProblem::new("num_control_points", message));
        let [min, max] = [self.num_control_points.into_iter().min(), self.num_control_points.into_iter().max()];
        let problem = match (min.unwrap_or(0), max.unwrap_or(0)) {
            (min @ ..MIN_POINTS, _) => {
                points(format!("expected at least {MIN_POINTS} control points along each axis, got {min}"))
            }
            (_, max) if max > MAX_POINTS => {
                points(format!("expected at most {MAX_POINTS} control points along each axis, got {max}"))
            }
            _ if self.locked_borders > 2 => {
                let message = format!("expected 0, 1 or 2 locked borders, got {}", self.locked_borders);
                Some(KeyProblem::new("locked_borders", message))
            }
            (MIN_POINTS, _) if self.locked_borders == 2 => points(
                "2 locked borders of 4 control points leave none to move; lock 1 border or use more points".to_owned(),
            ),
            _ => None,
        };
        problem.into_iter().collect()
    }

    fn validate_params(&self, params: &Self::Params, _: &Incoming) -> Result<(), String> {
        same_count("control points", params.0.len(), self.num_control_points.iter().product())?;
        within("the displacements", params.0.as_flattened(), [-MAX_DISPLACEMENT, MAX_DISPLACEMENT])
    }

    fn warning(&self, incoming: &Grid) -> Option<String> {
        let warning = "the deformation may fold the volume, since control points may move farther than half their distance; \
                       use fewer of them or a smaller max_displacement_mm";
        self.may_fold(incoming).then(|| warning.to_owned())
    }
}

impl SpatialTransform for ElasticDeformation {
    fn map_grid(&self, params: &ElasticDeformationParams, incoming: &Grid) -> GridMapping {
        let mut values = params.0.clone();
        if incoming.shape[2] == 1 {
            // A single slice is deformed within its plane.
            values.iter_mut().for_each(|value| value[2] = 0.0);
        }
        if values.iter().all(|value| *value == [0.0; 3]) {
            return GridMapping::lattice(Lattice::IDENTITY, incoming.shape, incoming);
        }
        let field = ElasticDisplacement::new(self.num_control_points, &values, incoming);
        let fill = self.fill.map_or(Fill::Minimum, Fill::Value);
        let interpolation = self.interpolation;
        GridMapping { fill, interpolation, ..GridMapping::new(*incoming, Map::Elastic(Arc::new(field))) }
    }

    fn changes_shape(&self) -> bool {
        false
    }

    fn is_random_warp(&self) -> bool {
        true
    }
}

impl ElasticDeformation {
    /// Returns whether the deformation may fold the volume: a control point may move farther than half the distance to the
    /// next.
    fn may_fold(&self, incoming: &Grid) -> bool {
        let axes = control_axes(incoming);
        (0..3).any(|world| {
            let axis = axes[world].source_axis;
            let between = ElasticDisplacement::spacing(self.num_control_points[world], incoming.shape[axis]);
            self.max_displacement_mm[world].get() > between * incoming.spacing()[axis] / 2.0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use random::{Purpose, Seed};
    use volume::Affine;

    fn incoming() -> Incoming {
        Incoming { grid: Grid { shape: [9, 9, 9], affine: Affine::IDENTITY }, channels: 1 }
    }

    fn sampled(yaml: &str) -> Vec<[f64; 3]> {
        let step: ElasticDeformation = serde_yaml::from_str(yaml).unwrap();
        assert_eq!(step.validate(), []);
        step.sample_params(&mut Seed(0).stream(Purpose::Augment, 0, "", 0), &incoming()).0
    }

    #[test]
    fn locked_borders_do_not_move() {
        let moving = |yaml: &str| sampled(yaml).iter().filter(|value| **value != [0.0; 3]).count();
        assert_eq!(moving("{}"), 27);
        assert_eq!(moving("locked_borders: 1"), 125);
        assert_eq!(moving("{num_control_points: [4, 5, 6], locked_borders: 0}"), 120);
    }

    #[test]
    fn no_control_point_moves_farther_than_allowed() {
        let values = sampled("{max_displacement_mm: [1, 0, 3], locked_borders: 0}");
        assert!(values.iter().all(|[x, y, z]| x.abs() <= 1.0 && *y == 0.0 && z.abs() <= 3.0));
        assert!(values.iter().any(|[x, _, z]| x.abs() > 0.9 && z.abs() > 2.0));
    }

    #[test]
    fn large_displacements_on_a_fine_grid_may_fold() {
        let may_fold = |yaml: &str, shape: [usize; 3]| {
            let step: ElasticDeformation = serde_yaml::from_str(yaml).unwrap();
            step.may_fold(&Grid { shape, affine: Affine::IDENTITY })
        };
        // Control points are (99 + 1.25) / 4, about 25 mm, apart.
        assert!(!may_fold("max_displacement_mm: [12, 12, 12]", [100; 3]));
        assert!(may_fold("max_displacement_mm: [0, 13, 0]", [100; 3]));
        assert!(may_fold("{}", [100, 100, 40]));
    }

    #[test]
    fn points_that_cannot_move_are_a_problem() {
        let problem = |yaml: &str| {
            serde_yaml::from_str::<ElasticDeformation>(yaml).unwrap().validate().pop().map(|problem| problem.message)
        };
        assert!(problem("num_control_points: [4, 7, 7]").unwrap().contains("leave none"));
        assert!(problem("num_control_points: [3, 7, 7]").unwrap().contains("at least 4"));
    }
}
