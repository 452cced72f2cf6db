//! Areas of surface elements by marching cubes.
//!
//! The corners of a cube are the centres of eight voxels. The surface crosses an edge half-way if one of its ends is in the
//! mask and the other is not. On each face of the cube the crossings are connected in pairs, which forms loops; on a face
//! with four crossings the corners of the rarer kind are cut off one by one. A loop is filled by a fan of triangles from
//! the crossing for which the area is largest if voxels are cubes. With this choice the areas are those of
//! `surface-distance` for all 256 neighbourhoods.

use std::collections::BTreeMap;

/// A point of the cube, in units of half an edge.
type Point = [i8; 3];

/// A vector in units of an edge, or a normal in units of a face.
type Vector = [f64; 3];

/// Returns the area around a corner in mm² for each code of [`super::bits::Bits::around_corner`].
pub fn areas(spacing: [f64; 3]) -> [f64; 256] {
    let [x, y, z] = spacing;
    std::array::from_fn(|code| {
        let code = u8::try_from(code).expect("the array has 256 elements");
        normals(code).iter().map(|normal| length([normal[0] * y * z, normal[1] * x * z, normal[2] * x * y])).sum()
    })
}

/// Returns the triangles of a neighbourhood for cubes with edges of 1, each as a normal with the length of its area.
fn normals(code: u8) -> Vec<Vector> {
    loops(code).iter().flat_map(|points| largest_fan(points)).collect()
}

/// Returns the triangle fan of a loop with the largest area for cubes.
fn largest_fan(points: &[Point]) -> Vec<Vector> {
    let area = |normals: &[Vector]| normals.iter().map(|normal| length(*normal)).sum::<f64>();
    let fans = (0..points.len()).map(|apex| {
        let at = |step: usize| points[(apex + step) % points.len()];
        (1..points.len() - 1).map(|step| half_cross(at(0), at(step), at(step + 1))).collect::<Vec<_>>()
    });
    let larger = |best: Vec<Vector>, fan: Vec<Vector>| if area(&fan) > area(&best) + 1e-9 { fan } else { best };
    fans.reduce(larger).expect("a loop has at least three points")
}

/// Returns the loops in which the surface crosses the faces of the cube.
fn loops(code: u8) -> Vec<Vec<Point>> {
    let is_inside = |corner: Point| code >> (4 * corner[0] + 2 * corner[1] + corner[2]) & 1 == 1;
    let rarer = code.count_ones() <= 4;
    let mut connected: BTreeMap<Point, Vec<Point>> = BTreeMap::new();
    for face in faces() {
        for (from, to) in crossings(face, &is_inside, rarer) {
            connected.entry(from).or_default().push(to);
            connected.entry(to).or_default().push(from);
        }
    }
    let mut loops = Vec::new();
    while let Some(first) = connected.keys().next().copied() {
        let mut points = vec![first];
        let mut next = connected.remove(&first).expect("the key was just read")[0];
        while let Some(ends) = connected.remove(&next) {
            let last = *points.last().expect("a loop starts with a point");
            points.push(next);
            next = if ends[0] == last { ends[1] } else { ends[0] };
        }
        loops.push(points);
    }
    loops
}

/// Returns the pairs of crossings that are connected on a face.
fn crossings(face: [Point; 4], is_inside: &impl Fn(Point) -> bool, rarer: bool) -> Vec<(Point, Point)> {
    let inside = face.map(is_inside);
    let middle = |edge: usize| std::array::from_fn(|axis| face[edge % 4][axis] + face[(edge + 1) % 4][axis]);
    let crossed: Vec<usize> = (0..4).filter(|edge| inside[*edge] != inside[(edge + 1) % 4]).collect();
    match crossed[..] {
        [from, to] => vec![(middle(from), middle(to))],
        // Corner `i` is between edges `i - 1` and `i`.
        [_, _, _, _] => (0..4).filter(|i| inside[*i] == rarer).map(|i| (middle(i + 3), middle(i))).collect(),
        _ => Vec::new(),
    }
}

/// Returns the six faces of the cube, each with its corners in cyclic order.
fn faces() -> impl Iterator<Item = [Point; 4]> {
    (0..3).flat_map(|axis| [0, 1].map(|side| (axis, side))).map(|(axis, side)| {
        [[0, 0], [1, 0], [1, 1], [0, 1]].map(|[u, v]| {
            let mut corner = [side; 3];
            corner[(axis + 1) % 3] = u;
            corner[(axis + 2) % 3] = v;
            corner
        })
    })
}

/// Returns half the cross product of two sides of a triangle: its normal with the length of its area.
fn half_cross(a: Point, b: Point, c: Point) -> Vector {
    let side = |to: Point| -> Vector { std::array::from_fn(|axis| f64::from(to[axis] - a[axis]) / 2.0) };
    let (u, v) = (side(b), side(c));
    std::array::from_fn(|axis| {
        let (i, j) = ((axis + 1) % 3, (axis + 2) % 3);
        (u[i] * v[j] - u[j] * v[i]) / 2.0
    })
}

fn length(vector: Vector) -> f64 {
    (vector[0] * vector[0] + vector[1] * vector[1] + vector[2] * vector[2]).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_surface_has_the_area_of_a_face() {
        let areas = areas([2.0, 3.0, 5.0]);
        // Four voxels on one side of x, of y and of z.
        assert_eq!([areas[0b1111_0000], areas[0b1100_1100], areas[0b1010_1010]], [15.0, 10.0, 6.0]);
    }

    #[test]
    fn full_and_empty_neighbourhoods_have_no_surface() {
        assert_eq!((areas([1.0; 3])[0], areas([1.0; 3])[255]), (0.0, 0.0));
    }

    #[test]
    fn a_neighbourhood_and_its_complement_have_the_same_surface() {
        let areas = areas([0.7, 1.1, 2.3]);
        assert!((0..256).all(|code| (areas[code] - areas[255 - code]).abs() < 1e-12));
    }

    /// `tests/parity/metrics.py` computes the expected areas with surface-distance, which orders bits in reverse.
    #[test]
    fn every_neighbourhood_has_the_area_of_surface_distance() {
        #[derive(serde::Deserialize)]
        struct Reference {
            spacing: [f64; 3],
            areas: Vec<f64>,
        }
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/parity/metrics/areas.json"));
        let references: Vec<Reference> = serde_json::from_str(text).unwrap();
        assert_eq!(references.len(), 4);
        for Reference { spacing, areas: expected } in references {
            for (code, area) in areas(spacing).into_iter().enumerate() {
                let expected = expected[usize::from((code as u8).reverse_bits())];
                assert!((area - expected).abs() <= 1e-12 * expected, "{code:08b} at {spacing:?}: {area}, {expected}");
            }
        }
    }
}
