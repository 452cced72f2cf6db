//! Which networks nnU-Net has, and how its plans state them.

use serde_json::{Value, json};

use super::refusals::{Refusals, TRAIN_AGAIN};
use crate::axes::Axes;
use crate::classes::{ACTIVATIONS, NETWORKS, NORMS, PlannedNetwork};
use crate::plans::Architecture;
use nn::networks::unet::{Downsample, Upsample};
use nn::{Model, Unet};

/// Returns the U-Net of an experiment.
pub(super) fn unet(model: &Model) -> &Unet {
    let Model::Unet(unet) = model;
    unet
}

/// Returns nnU-Net's axes of a network: those of slices if it sees slices of volumes whose distance is kept, else all
/// three, the coarsest first.
pub(super) fn axes(unet: &Unet, window: [usize; 3], spacing: Option<[Option<f64>; 3]>) -> Axes {
    let is_across = |axis: &usize| {
        let sizes = (0..unet.depth()).flat_map(|level| [unet.kernel(level)[*axis], unet.stride(level)[*axis]]);
        let is_kept = spacing.is_none_or(|spacing| spacing[*axis].is_none());
        window[*axis] == 1 && is_kept && sizes.into_iter().all(|size| size == 1)
    };
    if let Some(axis) = [2, 1, 0].into_iter().find(is_across) {
        return Axes::with_first(axis, true);
    }
    let stated = spacing.map_or([1.0; 3], |spacing| spacing.map(|mm| mm.unwrap_or(1.0)));
    Axes::with_first(planner::coarsest_axis(stated), false)
}

/// Returns the network as plans.json states it; `None` if nnU-Net has no such network, which is then refused.
pub(super) fn architecture(unet: &Unet, axes: &Axes, refusals: &mut Refusals) -> Option<Architecture> {
    let keys = serde_json::to_value(unet).ok()?;
    let mut refuse = |key: &str, has: &str, write: &str| {
        let message = format!("{}; nnU-Net's networks have {has}", keys[key]);
        refusals.add(format!("model.unet.{key}"), message, format!("{TRAIN_AGAIN} with `{key}: {write}`"));
    };
    if unet.downsample != Downsample::StridedConv {
        refuse("downsample", "strided convolutions", "strided_conv");
    }
    if unet.upsample != Upsample::TransposedConv {
        refuse("upsample", "transposed convolutions", "transposed_conv");
    }
    if unet.residual {
        refuse("residual", "no connection around the convolutions of a level", "false` or `encoder: residual");
    }
    if unet.depth() < 2 {
        refuse("widths", "at least two levels", "[32, 64, 128]");
    }
    let word = |key: &str| keys[key].as_str().unwrap_or_default();
    let (norm, activation) = (word("norm").to_owned(), word("activation").to_owned());
    if !NORMS.iter().any(|(.., known)| *known == norm) {
        refuse("norm", "instance or batch normalization", "instance");
    }
    if !ACTIVATIONS.iter().any(|(_, known)| *known == activation) {
        refuse("activation", "LeakyReLU or ReLU", "leaky_relu");
    }
    let encoder = word("encoder");
    let class = NETWORKS.into_iter().find(|class| class.encoder == encoder)?;
    let levels = 0..unet.depth();
    let sizes = |of_level: &dyn Fn(usize) -> [usize; 3]| -> Value {
        levels.clone().map(|level| json!(axes.in_network_order(of_level(level)))).collect()
    };
    let network = PlannedNetwork {
        class,
        dimensions: axes.dimensions(),
        widths: unet.widths.iter().map(|width| width.get() as u64).collect(),
        kernel_sizes: sizes(&|level| unet.kernel(level)),
        strides: sizes(&|level| unet.stride(level)),
        convolutions: levels.clone().map(|level| unet.encoder_convs(level) as u64).collect(),
        decoder_convolutions: (0..unet.depth() - 1).rev().map(|level| unet.decoder_convs(level) as u64).collect(),
        norm,
        activation,
    };
    network.architecture()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::Network;

    fn of(keys: Value) -> Unet {
        serde_json::from_value(keys).unwrap()
    }

    /// nnU-Net's network with some keys changed.
    fn changed(changes: Value) -> Unet {
        let mut keys = json!({
            "widths": [4, 8, 8], "norm": "instance", "activation": "leaky_relu", "downsample": "strided_conv",
            "upsample": "transposed_conv", "kernel_sizes": [[3, 3, 1], [3, 3, 3], [3, 3, 3]],
            "strides": [[1, 1, 1], [2, 2, 1], [2, 2, 2]], "decoder_convs_per_level": [1, 2],
        });
        keys.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        of(keys)
    }

    #[test]
    fn an_exported_network_is_imported_as_the_same() {
        let planar = json!({
            "kernel_sizes": [[3, 1, 3], [3, 1, 3], [3, 1, 3]], "strides": [[1, 1, 1], [2, 1, 2], [2, 1, 1]],
            "norm": "batch", "activation": "relu",
        });
        let cases = [
            (json!({}), [16, 16, 8], Some([0.5, 0.5, 3.0]), [0, 1, 2], 3),
            (json!({ "encoder": "residual" }), [16, 16, 8], Some([4.0, 0.5, 3.0]), [2, 0, 1], 3),
            (planar, [16, 1, 8], None, [1, 0, 2], 2),
        ];
        for (changes, window, spacing, transpose_forward, dimensions) in cases {
            let unet = changed(changes);
            let axes = axes(&unet, window, spacing.map(|spacing| spacing.map(Some)));
            assert_eq!((axes.transpose_forward(), axes.dimensions()), (transpose_forward, dimensions));
            let mut refusals = Refusals::default();
            let architecture = architecture(&unet, &axes, &mut refusals).unwrap();
            let imported = Network::new(&architecture, &axes).unwrap();
            let again = Unet { deep_supervision: false, ..of(imported.unet) };
            assert!(refusals.is_empty());
            assert_eq!(again.decoder_convs_per_level, unet.decoder_convs_per_level);
            for level in 0..3 {
                assert_eq!((again.kernel(level), again.stride(level)), (unet.kernel(level), unet.stride(level)));
                assert_eq!(again.encoder_convs(level), unet.encoder_convs(level));
            }
            assert_eq!((again.norm, again.activation, again.encoder), (unet.norm, unet.activation, unet.encoder));
        }
    }

    #[test]
    fn what_nnunet_lacks_is_refused_all_at_once() {
        let unet = of(json!({ "widths": [4], "residual": true, "norm": "group" }));
        let mut refusals = Refusals::default();
        architecture(&unet, &Axes::with_first(2, false), &mut refusals);
        let expected = [
            "model.unet.downsample: \"max_pool\"; nnU-Net's networks have strided convolutions",
            "model.unet.upsample: \"trilinear\"; nnU-Net's networks have transposed convolutions",
            "model.unet.residual: true; nnU-Net's networks have no connection around the convolutions of a level",
            "model.unet.widths: [4]; nnU-Net's networks have at least two levels",
            "model.unet.norm: \"group\"; nnU-Net's networks have instance or batch normalization",
        ];
        assert_eq!(refusals.texts(), expected);
    }

    #[test]
    fn slices_are_planar_only_if_their_distance_is_kept() {
        let sizes = json!({ "kernel_sizes": [3, 3, 1], "strides": [[1, 1, 1], [2, 2, 1], [2, 2, 1]] });
        let is_planar = |window, spacing| axes(&changed(sizes.clone()), window, spacing).dimensions() == 2;
        assert!(is_planar([16, 16, 1], None) && is_planar([16, 16, 1], Some([Some(1.0), Some(1.0), None])));
        assert!(!is_planar([16, 16, 2], None) && !is_planar([16, 16, 1], Some([Some(1.0); 3])));
        assert!(axes(&changed(json!({})), [16, 16, 1], None).dimensions() == 3);
    }
}
