//! Properties that hold for any shape, window and number.

use dataset::queue::delivery_order;
use engine::inference::activation::FinalActivation;
use engine::inference::blend::{Blender, Planes};
use engine::inference::options::Blend;
use engine::inference::tiling::Tiling;
use proptest::prelude::*;
use random::Seed;
use transforms::lazy::{self, View};
use transforms::{Incoming, Transform};
use volume::{Affine, Grid, Volume, Voxels};

fn shapes(limit: usize) -> impl Strategy<Value = [usize; 3]> {
    prop::array::uniform3(1..limit)
}

fn volume(shape: [usize; 3]) -> Volume {
    let count = shape.iter().product::<usize>();
    Volume {
        grid: Grid { shape, affine: Affine::scale_and_shift([1.0, 0.7, 2.5], [-3.0, 4.0, 5.0]) },
        image: Voxels::new(1, shape, (0..count).map(|i| (i as f32 * 0.3).sin()).collect()),
        label: Some(Voxels::new(1, shape, (0..count).map(|i| (i % 3) as u16).collect())),
    }
}

/// Applies a chain of transforms.
fn transformed(volume: Volume, yaml: &str) -> Volume {
    let steps: serde_json::Value = serde_yaml::from_str(yaml).unwrap();
    let chain: Vec<Transform> = serde_json::from_value(steps).unwrap();
    let params = lazy::fixed_params(&chain, &Incoming { grid: volume.grid, channels: 1 });
    View::new(volume, &chain, &params).unwrap().volume().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn windows_cover_every_voxel_and_their_weights_sum_to_one(
        shape in shapes(24), window in shapes(12), overlap in 0.0..0.9f64, blend in 0..4usize,
    ) {
        let blend = [Blend::Constant, Blend::Gaussian, Blend::Crop, Blend::Hann][blend];
        let tiling = Tiling::new(shape, window, overlap);
        let mut blender = Blender::new(tiling.clone(), blend, 1, FinalActivation::None);
        let mut values = Vec::new();
        let plane = shape[1] * shape[2];
        let mut take = |planes: &Planes| values.extend_from_slice(&planes.values[planes.num_repeated * plane..]);
        for &start in &tiling.starts {
            blender.add(start, &vec![1.0; window.iter().product()], &mut take);
        }
        blender.finish(&mut take);
        prop_assert_eq!(values.len(), shape[0] * plane);
        prop_assert!(values.iter().all(|value| (value - 1.0).abs() < 1e-5));
    }

    #[test]
    fn cropping_undoes_padding(shape in shapes(9), more in shapes(7)) {
        let larger: [usize; 3] = std::array::from_fn(|axis| shape[axis] + more[axis]);
        let result = transformed(
            volume(shape),
            &format!("[crop_or_pad: {{shape: {larger:?}}}, crop_or_pad: {{shape: {shape:?}}}]"),
        );
        let before = volume(shape);
        prop_assert!(result.grid.matches(&before.grid, 1e-9));
        prop_assert_eq!(&result.image[..], &before.image[..]);
        prop_assert_eq!(&result.label.unwrap()[..], &before.label.unwrap()[..]);
    }

    #[test]
    fn resampling_to_the_same_spacing_changes_nothing(shape in shapes(9)) {
        let result = transformed(volume(shape), "[resample: {spacing_mm: [1, 0.7, 2.5]}]");
        prop_assert_eq!(result.grid.shape, shape);
        for (a, b) in result.image.iter().zip(volume(shape).image.iter()) {
            prop_assert!((a - b).abs() < 1e-5);
        }
    }

    #[test]
    fn every_patch_is_delivered_once_and_not_before_the_queue_has_room(
        seed in any::<u64>(), num_requests in 0..200usize, max_length in 1..50usize,
    ) {
        let order = delivery_order(Seed(seed), 1, num_requests, max_length);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        prop_assert_eq!(sorted, (0..num_requests).collect::<Vec<_>>());
        for (position, request) in order.into_iter().enumerate() {
            prop_assert!(request < position + max_length);
        }
    }
}
