//! Anatomical planes.

/// An anatomical plane, in which slices are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plane {
    /// Slices from inferior to superior.
    Axial,
    /// Slices from posterior to anterior.
    Coronal,
    /// Slices from left to right.
    Sagittal,
}

impl Plane {
    /// All planes, in the order of the viewer page.
    pub const ALL: [Self; 3] = [Self::Axial, Self::Coronal, Self::Sagittal];

    /// Returns the RAS axes (0: right, 1: anterior, 2: superior) along image columns, along image rows, and through the
    /// slices.
    pub fn axes(self) -> [usize; 3] {
        match self {
            Self::Axial => [0, 1, 2],
            Self::Coronal => [0, 2, 1],
            Self::Sagittal => [1, 2, 0],
        }
    }

    /// Returns the direction labels at the left, right, top and bottom of a slice, in radiological convention: the
    /// patient's right (or anterior) side is on the left.
    pub fn direction_labels(self) -> [char; 4] {
        match self {
            Self::Axial => ['R', 'L', 'A', 'P'],
            Self::Coronal => ['R', 'L', 'S', 'I'],
            Self::Sagittal => ['A', 'P', 'S', 'I'],
        }
    }

    /// Returns the name of the plane.
    pub fn name(self) -> &'static str {
        match self {
            Self::Axial => "axial",
            Self::Coronal => "coronal",
            Self::Sagittal => "sagittal",
        }
    }
}
