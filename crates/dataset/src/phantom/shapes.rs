//! The shapes that an abdomen is composed of, and sampling of their sizes.

use random::Rng;
use values::Range;

/// An axis-aligned ellipsoid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ellipsoid {
    pub(super) centre: [f32; 3],
    pub(super) radii: [f32; 3],
}

impl Ellipsoid {
    /// Returns a level below 1 inside and 1 on the surface.
    pub(super) fn level(&self, point: [f32; 3]) -> f32 {
        (0..3).map(|axis| ((point[axis] - self.centre[axis]) / self.radii[axis]).powi(2)).sum::<f32>().sqrt()
    }
}

/// A smooth displacement: a few waves, each along one direction.
#[derive(Clone, Debug)]
pub(super) struct Waves(Vec<Wave>);

#[derive(Clone, Copy, Debug)]
pub(super) struct Wave {
    direction: [f32; 3],
    frequency: [f32; 3],
    phase: f32,
}

impl Waves {
    pub(super) fn sample(rng: &mut Rng, count: usize, amplitude_mm: f64, wavelength_mm: Range) -> Self {
        let wave = |_| {
            let frequency = std::f64::consts::TAU / rng.uniform(wavelength_mm);
            let direction = unit(rng).map(|v| (v * amplitude_mm) as f32);
            let frequency = unit(rng).map(|v| (v * frequency) as f32);
            Wave { direction, frequency, phase: (rng.unit() * std::f64::consts::TAU) as f32 }
        };
        Self((0..count).map(wave).collect())
    }

    pub(super) fn move_point(&self, point: [f32; 3]) -> [f32; 3] {
        let mut moved = point;
        for wave in &self.0 {
            let angle = wave.phase + (0..3).map(|axis| wave.frequency[axis] * point[axis]).sum::<f32>();
            let sine = angle.sin();
            for (value, direction) in moved.iter_mut().zip(wave.direction) {
                *value += direction * sine;
            }
        }
        moved
    }
}

/// A segment of a vessel: a cylinder with round ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vessel {
    pub(super) from: [f32; 3],
    pub(super) to: [f32; 3],
    pub(super) radius: f32,
}

impl Vessel {
    pub(super) fn contains(&self, point: [f32; 3]) -> bool {
        let along: [f32; 3] = std::array::from_fn(|axis| self.to[axis] - self.from[axis]);
        let relative: [f32; 3] = std::array::from_fn(|axis| point[axis] - self.from[axis]);
        let length: f32 = along.iter().map(|v| v * v).sum();
        let fraction = (along.iter().zip(relative).map(|(a, b)| a * b).sum::<f32>() / length).clamp(0.0, 1.0);
        let distance: f32 = (0..3).map(|axis| (relative[axis] - fraction * along[axis]).powi(2)).sum();
        distance < self.radius * self.radius
    }
}

pub(super) fn between(rng: &mut Rng, low: f64, high: f64) -> f32 {
    rng.uniform(range(low, high)) as f32
}

pub(super) fn range(low: f64, high: f64) -> Range {
    Range { low, high }
}

/// Samples a unit vector uniformly.
pub(super) fn unit(rng: &mut Rng) -> [f64; 3] {
    normalized([(); 3].map(|()| rng.normal()))
}

pub(super) fn normalized(vector: [f64; 3]) -> [f64; 3] {
    let length = vector.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-9);
    vector.map(|v| v / length)
}
