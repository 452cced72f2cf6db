//! The tissue at each point of a synthetic abdomen.
//!
//! Coordinates are RAS millimetres of a nominal field of view of 320 x 320 x 288 mm around the
//! origin; [`render`](super::render) scales it to the grid. Intensities are those of a CT in
//! the portal venous phase, in Hounsfield units.

use super::shapes::{Ellipsoid, Vessel, Waves, between, normalized, range, unit};
use random::Rng;
use volume::Label;

/// Half of the nominal field of view, in mm.
pub(super) const HALF_VIEW: [f32; 3] = [160.0, 160.0, 144.0];

const AIR: f32 = -1000.0;
const FAT: f32 = -100.0;

#[derive(Clone, Copy, Debug)]
struct Tumour {
    shape: Ellipsoid,
    intensity: f32,
}

/// One abdomen: positions, sizes and intensities of its organs.
#[derive(Clone, Debug)]
pub(super) struct Anatomy {
    body: [f32; 2],
    fat_mm: f32,
    dome: f32,
    right_lobe: Ellipsoid,
    left_lobe: Ellipsoid,
    liver_waves: Waves,
    tumour_waves: Waves,
    bowel_waves: Waves,
    liver: f32,
    vessel: f32,
    spleen: Ellipsoid,
    kidneys: [Ellipsoid; 2],
    stomach: Ellipsoid,
    vessels: Vec<Vessel>,
    tumours: Vec<Tumour>,
}

impl Anatomy {
    /// Samples an abdomen with 0 to `max_tumours` tumours.
    pub(super) fn sample(rng: &mut Rng, max_tumours: usize) -> Self {
        let scale = between(rng, 0.92, 1.08);
        let liver = between(rng, 92.0, 122.0);
        let mut anatomy = Self {
            body: [between(rng, 134.0, 148.0), between(rng, 98.0, 114.0)],
            fat_mm: between(rng, 8.0, 18.0),
            dome: between(rng, 78.0, 96.0),
            right_lobe: organ(rng, scale, [60.0, 2.0, 26.0], [56.0, 68.0, 72.0]),
            left_lobe: organ(rng, scale, [2.0, 34.0, 44.0], [66.0, 36.0, 34.0]),
            liver_waves: Waves::sample(rng, 4, 5.0, range(70.0, 160.0)),
            tumour_waves: Waves::sample(rng, 3, 2.5, range(20.0, 45.0)),
            bowel_waves: Waves::sample(rng, 3, 14.0, range(40.0, 90.0)),
            liver,
            vessel: liver + between(rng, 45.0, 70.0),
            spleen: organ(rng, scale, [-88.0, -28.0, 42.0], [27.0, 42.0, 44.0]),
            kidneys: [
                organ(rng, scale, [58.0, -54.0, -62.0], [24.0, 23.0, 46.0]),
                organ(rng, scale, [-60.0, -54.0, -44.0], [24.0, 23.0, 46.0]),
            ],
            stomach: organ(rng, scale, [-58.0, 36.0, 24.0], [36.0, 34.0, 40.0]),
            vessels: Vec::new(),
            tumours: Vec::new(),
        };
        anatomy.vessels = tree(rng, &anatomy);
        anatomy.tumours = (0..rng.below(max_tumours as u64 + 1)).filter_map(|_| anatomy.tumour(rng)).collect();
        anatomy
    }

    /// Returns intensity and label at a point.
    pub(super) fn tissue(&self, point: [f32; 3]) -> (f32, Label) {
        let body = self.body_level(point, 0.0);
        if body > 1.0 {
            return (AIR, 0);
        }
        let wall = self.body_level(point, self.fat_mm);
        if wall > 1.0 {
            return (FAT, 0);
        }
        if let Some(bone) = self.spine(point) {
            return (bone, 0);
        }
        if self.body_level(point, self.fat_mm + 11.0) > 1.0 {
            return (if rib(point, wall) { 380.0 } else { 58.0 }, 0);
        }
        if point[2] > self.diaphragm(point) {
            return (self.chest(point), 0);
        }
        if self.liver_level(point) < 1.0 {
            return self.liver_tissue(point);
        }
        (self.abdomen(point), 0)
    }

    /// Returns a level below 1 inside the outline of the body, shrunk by `inset_mm`.
    fn body_level(&self, point: [f32; 3], inset_mm: f32) -> f32 {
        let [x, y] = [0, 1].map(|axis| (point[axis] / (self.body[axis] - inset_mm)).abs());
        // Between an ellipse and a rectangle.
        x.powf(2.4) + y.powf(2.4)
    }

    /// Returns the height of the diaphragm in mm: two domes, the right one higher.
    fn diaphragm(&self, point: [f32; 3]) -> f32 {
        let side = if point[0] > 0.0 { self.dome } else { self.dome - 10.0 };
        let across = (point[0].abs() - 55.0) / 75.0;
        let along = point[1] / 105.0;
        side - 60.0 * (across * across + along * along)
    }

    fn chest(&self, point: [f32; 3]) -> f32 {
        let heart = Ellipsoid { centre: [-20.0, 30.0, self.dome + 40.0], radii: [48.0, 42.0, 52.0] };
        let middle = Ellipsoid { centre: [0.0, -35.0, 100.0], radii: [22.0, 30.0, 200.0] };
        if heart.level(point) < 1.0 {
            140.0
        } else if middle.level(point) < 1.0 {
            40.0
        } else {
            -850.0
        }
    }

    fn spine(&self, point: [f32; 3]) -> Option<f32> {
        let behind = point[1] + 0.66 * self.body[1];
        let body = (point[0] * point[0] + behind * behind).sqrt();
        if body < 20.0 {
            let disc = (point[2] / 34.0).rem_euclid(1.0) < 0.2;
            return Some(match (disc, body > 17.0) {
                (true, _) => 85.0,
                (false, true) => 480.0,
                (false, false) => 220.0,
            });
        }
        let arch = (point[0] * point[0] + (behind + 27.0).powi(2)).sqrt();
        if arch < 12.0 { Some(if arch < 8.0 { 25.0 } else { 420.0 }) } else { None }
    }

    /// Returns a level below 1 inside the liver: the smooth union of both lobes, after the displacement.
    fn liver_level(&self, point: [f32; 3]) -> f32 {
        let moved = self.liver_waves.move_point(point);
        let (right, left) = (self.right_lobe.level(moved), self.left_lobe.level(moved));
        let weight = (0.5 + 0.5 * (left - right) / 0.25).clamp(0.0, 1.0);
        left + (right - left) * weight - 0.25 * weight * (1.0 - weight)
    }

    fn liver_tissue(&self, point: [f32; 3]) -> (f32, Label) {
        let moved = self.tumour_waves.move_point(point);
        for tumour in &self.tumours {
            let level = tumour.shape.level(moved);
            if level < 1.0 {
                // Necrosis: darker towards the centre.
                return (tumour.intensity - 12.0 * (1.0 - level), 2);
            }
        }
        let vessel = self.vessels.iter().any(|vessel| vessel.contains(point));
        (if vessel { self.vessel } else { self.liver }, 1)
    }

    /// Returns the intensity of unlabelled tissue, which serves as distractors.
    fn abdomen(&self, point: [f32; 3]) -> f32 {
        if self.spleen.level(point) < 1.0 {
            return self.liver + 14.0;
        }
        for kidney in &self.kidneys {
            let level = kidney.level(point);
            if level < 1.0 {
                return if level < 0.55 { 120.0 } else { 185.0 };
            }
        }
        if self.stomach.level(point) < 1.0 {
            return if point[1] > self.stomach.centre[1] + 14.0 { -900.0 } else { 18.0 };
        }
        let tube = |x: f32, y: f32, radius: f32| (point[0] - x).hypot(point[1] - y) < radius;
        if tube(-14.0, -34.0, 11.0) {
            return 175.0;
        }
        if tube(22.0, -32.0, 12.0) {
            return 140.0;
        }
        let moved = self.bowel_waves.move_point(point);
        let bowel = (moved[0] / 13.0).sin() + (moved[1] / 12.0).sin() + (moved[2] / 14.0).sin();
        if bowel > 0.3 && point[1] > -40.0 { 35.0 } else { FAT }
    }

    /// Samples a tumour with its centre in the liver, away from the surface; `None` if no position is accepted.
    fn tumour(&self, rng: &mut Rng) -> Option<Tumour> {
        let radius = between(rng, 11f64.ln(), 30f64.ln()).exp();
        let intensity = self.liver - between(rng, 38.0, 65.0);
        let radii = [(); 3].map(|()| radius * between(rng, 0.85, 1.2));
        for _ in 0..200 {
            let lobe = if rng.bernoulli(0.75) { &self.right_lobe } else { &self.left_lobe };
            let centre = std::array::from_fn(|axis| lobe.centre[axis] + lobe.radii[axis] * between(rng, -0.85, 0.85));
            if self.liver_level(centre) < 0.85 && self.tissue(centre).1 == 1 {
                return Some(Tumour { shape: Ellipsoid { centre, radii }, intensity });
            }
        }
        None
    }
}

/// Returns whether a point of the chest wall is in a rib: bands of bone that slope down to the front.
fn rib(point: [f32; 3], wall: f32) -> bool {
    let height = point[2] + 0.35 * point[1];
    point[2] > -50.0 && wall > 0.82 && wall < 0.97 && (height / 30.0).rem_euclid(1.0) < 0.4
}

/// Samples vessels that branch from the hilum into both lobes.
fn tree(rng: &mut Rng, anatomy: &Anatomy) -> Vec<Vessel> {
    let hilum: [f32; 3] = std::array::from_fn(|axis| {
        0.6 * anatomy.right_lobe.centre[axis] + 0.4 * anatomy.left_lobe.centre[axis] + between(rng, -5.0, 5.0)
    });
    let mut vessels = Vec::new();
    for _ in 0..6 {
        let (mut from, mut radius, mut length) = (hilum, between(rng, 5.5, 7.5), between(rng, 26.0, 36.0));
        let mut direction = unit(rng);
        for _ in 0..4 {
            let to = std::array::from_fn(|axis| from[axis] + length * direction[axis] as f32);
            vessels.push(Vessel { from, to, radius });
            from = to;
            radius *= 0.75;
            length *= 0.85;
            let change = unit(rng);
            direction = normalized(std::array::from_fn(|axis| direction[axis] + 0.7 * change[axis]));
        }
    }
    vessels
}

/// Samples an organ near its usual position, of about its usual size.
fn organ(rng: &mut Rng, scale: f32, centre: [f32; 3], radii: [f32; 3]) -> Ellipsoid {
    let centre = centre.map(|v| scale * v + between(rng, -6.0, 6.0));
    Ellipsoid { centre, radii: radii.map(|v| scale * v * between(rng, 0.92, 1.08)) }
}
