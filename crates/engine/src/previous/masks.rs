//! Label maps as input channels: a mask for each label.

use volume::{Label, Voxels};

/// Writes the masks of labels `[label, x, y, z]`: 1 where a voxel has the label and 0 elsewhere.
pub(crate) fn write_masks(map: &[Label], labels: &[Label], out: &mut [f32]) {
    for (mask, label) in out.chunks_exact_mut(map.len()).zip(labels) {
        mask.iter_mut().zip(map).for_each(|(value, voxel)| *value = f32::from(u8::from(voxel == label)));
    }
}

/// Returns an image with the masks of the labels of a map as further channels.
pub(crate) fn with_masks(image: &Voxels<f32>, map: &Voxels<Label>, labels: &[Label]) -> Voxels<f32> {
    let mut values = Vec::with_capacity(image.len() + labels.len() * map.len());
    values.extend_from_slice(image);
    values.resize(image.len() + labels.len() * map.len(), 0.0);
    write_masks(map, labels, &mut values[image.len()..]);
    Voxels::new(image.channels + labels.len(), image.shape, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_label_is_a_channel_after_those_of_the_image() {
        let image = Voxels::new(1, [1, 1, 4], vec![0.5, 1.5, 2.5, 3.5]);
        let map = Voxels::new(1, [1, 1, 4], vec![0, 7, 3, 5]);
        let input = with_masks(&image, &map, &[3, 7]);
        assert_eq!((input.channels, input.channel(0)), (3, &image[..]));
        assert_eq!((input.channel(1), input.channel(2)), (&[0.0, 0.0, 1.0, 0.0][..], &[0.0, 1.0, 0.0, 0.0][..]));
    }
}
