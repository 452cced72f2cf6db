//! The names of parameters in nnU-Net's networks and in ours.
//!
//! nnU-Net's state dict has most tensors several times: below `all_modules`, and the encoder again below `decoder.encoder`.
//! `docs/weights.md` describes our names. [`our_name`] translates, and [`state_dict`] lists nnU-Net's names.

use nn::Unet;
use nn::layers::Norm;
use nn::networks::unet::Encoder;

/// Returns our name of a parameter of a network with `levels` levels of the encoder; `None` for another name of a tensor that
/// has one already, and for names that no such network has.
pub(crate) fn our_name(name: &str, levels: usize) -> Option<String> {
    let parts: Vec<&str> = name.split('.').collect();
    let next = |number: &str| Some(number.parse::<usize>().ok()? + 1);
    let is_kind = |kind: &str| ["weight", "bias", "running_mean", "running_var"].contains(&kind);
    let is_layer = |layer: &str, kind: &str| ["conv", "norm"].contains(&layer) && is_kind(kind);
    match parts[..] {
        ["encoder", "stem", "convs", convolution, layer, kind] if is_layer(layer, kind) => {
            Some(format!("encoder.stem.{layer}{}.{kind}", next(convolution)?))
        }
        ["encoder", "stages", level, "0", "convs", convolution, layer, kind] if is_layer(layer, kind) => {
            Some(format!("encoder.{level}.{layer}{}.{kind}", next(convolution)?))
        }
        ["encoder", "stages", level, "blocks", block, unit @ ("conv1" | "conv2"), layer, kind]
            if is_layer(layer, kind) =>
        {
            let convolution = &unit["conv".len()..];
            Some(format!("encoder.{level}.blocks.{block}.{layer}{convolution}.{kind}"))
        }
        ["encoder", "stages", level, "blocks", block, "skip", _, layer, kind] if is_layer(layer, kind) => {
            let layer = if layer == "conv" { "shortcut" } else { "shortcut_norm" };
            Some(format!("encoder.{level}.blocks.{block}.{layer}.{kind}"))
        }
        ["decoder", "transpconvs", level, kind] if is_kind(kind) => Some(format!("decoder.{level}.up.{kind}")),
        ["decoder", "stages", level, "convs", convolution, layer, kind] if is_layer(layer, kind) => {
            Some(format!("decoder.{level}.{layer}{}.{kind}", next(convolution)?))
        }
        ["decoder", "seg_layers", level, kind] if is_kind(kind) => {
            let is_last = level.parse::<usize>().ok()? + 2 == levels;
            Some(if is_last { format!("head.{kind}") } else { format!("decoder.{level}.head.{kind}") })
        }
        _ => None,
    }
}

/// The end of the name of batch normalization's counter of batches.
pub(crate) const COUNTER: &str = ".num_batches_tracked";

/// Returns whether a name is another name of a parameter, or a counter of batch normalization.
pub(crate) fn is_repeated(name: &str) -> bool {
    name.contains(".all_modules.") || name.starts_with("decoder.encoder.") || name.ends_with(COUNTER)
}

/// Returns the names of a network's state dict in PyTorch's order, each with the first name of the same tensor.
pub(crate) fn state_dict(unet: &Unet) -> Vec<(String, String)> {
    let encoder = encoder(unet);
    let again =
        encoder.iter().map(|(name, first)| (format!("decoder.encoder.{}", &name["encoder.".len()..]), first.clone()));
    let mut names: Vec<(String, String)> = encoder.iter().cloned().chain(again).collect();
    let stages = unet.depth() - 1;
    for stage in 0..stages {
        for convolution in 0..unet.decoder_convs(stages - 1 - stage) {
            unit(&mut names, unet, &format!("decoder.stages.{stage}.convs.{convolution}"), true);
        }
    }
    for layer in ["transpconvs", "seg_layers"] {
        for stage in 0..stages {
            names.extend(["weight", "bias"].map(|kind| once(format!("decoder.{layer}.{stage}.{kind}"))));
        }
    }
    names
}

/// Returns the names of the encoder.
fn encoder(unet: &Unet) -> Vec<(String, String)> {
    let mut names = Vec::new();
    match unet.encoder {
        Encoder::Plain => {
            for stage in 0..unet.depth() {
                for convolution in 0..unet.encoder_convs(stage) {
                    unit(&mut names, unet, &format!("encoder.stages.{stage}.0.convs.{convolution}"), true);
                }
            }
        }
        Encoder::Residual => {
            unit(&mut names, unet, "encoder.stem.convs.0", true);
            for stage in 0..unet.depth() {
                for block in 0..unet.encoder_convs(stage) {
                    let prefix = format!("encoder.stages.{stage}.blocks.{block}");
                    ["conv1", "conv2"]
                        .iter()
                        .for_each(|conv| unit(&mut names, unet, &format!("{prefix}.{conv}"), true));
                    // The first block of a level has a projection if the width changes, after a pooling if the grid
                    // does.
                    if block == 0 && stage > 0 && unet.widths[stage] != unet.widths[stage - 1] {
                        let index = usize::from(unet.stride(stage) != [1; 3]);
                        unit(&mut names, unet, &format!("{prefix}.skip.{index}"), false);
                    }
                }
            }
        }
    }
    names
}

/// Adds the names of a convolution with its normalization.
fn unit(names: &mut Vec<(String, String)>, unet: &Unet, prefix: &str, has_bias: bool) {
    let conv: &[&str] = if has_bias { &["weight", "bias"] } else { &["weight"] };
    let norm: &[&str] = match unet.norm {
        Norm::Batch => &["weight", "bias", "running_mean", "running_var", &COUNTER[1..]],
        _ => &["weight", "bias"],
    };
    let layers = [("conv", conv), ("norm", norm)];
    let name = |layer: &str, kind: &str| format!("{prefix}.{layer}.{kind}");
    names.extend(layers.iter().flat_map(|(layer, kinds)| kinds.iter().map(|kind| once(name(layer, kind)))));
    for (index, (layer, kinds)) in layers.iter().enumerate() {
        names.extend(kinds.iter().map(|kind| (format!("{prefix}.all_modules.{index}.{kind}"), name(layer, kind))));
    }
}

/// Returns the name of a tensor that it has first.
fn once(name: String) -> (String, String) {
    (name.clone(), name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layer_has_our_name() {
        for (theirs, ours) in [
            ("encoder.stages.0.0.convs.1.conv.weight", "encoder.0.conv2.weight"),
            ("encoder.stages.2.0.convs.0.norm.bias", "encoder.2.norm1.bias"),
            ("encoder.stages.2.0.convs.0.norm.running_var", "encoder.2.norm1.running_var"),
            ("encoder.stem.convs.0.conv.bias", "encoder.stem.conv1.bias"),
            ("encoder.stages.3.blocks.2.conv2.norm.weight", "encoder.3.blocks.2.norm2.weight"),
            ("encoder.stages.3.blocks.0.skip.1.conv.weight", "encoder.3.blocks.0.shortcut.weight"),
            ("encoder.stages.3.blocks.0.skip.0.norm.bias", "encoder.3.blocks.0.shortcut_norm.bias"),
            ("decoder.transpconvs.0.weight", "decoder.0.up.weight"),
            ("decoder.stages.1.convs.0.conv.bias", "decoder.1.conv1.bias"),
            ("decoder.seg_layers.0.weight", "decoder.0.head.weight"),
            ("decoder.seg_layers.2.bias", "head.bias"),
        ] {
            assert_eq!(our_name(theirs, 4).as_deref(), Some(ours));
            assert!(!is_repeated(theirs));
        }
    }

    #[test]
    fn other_names_have_none() {
        for name in [
            "encoder.stages.0.0.convs.1.all_modules.0.weight",
            "decoder.encoder.stages.0.0.convs.1.conv.weight",
            "encoder.stages.0.0.convs.1.norm.num_batches_tracked",
        ] {
            assert!(is_repeated(name));
            assert_eq!(our_name(name, 4), None);
        }
        for name in [
            "eva.blocks.0.attn.qkv.weight",
            "encoder.stages.0.blocks.0.conv3.conv.weight",
            "",
            "decoder.seg_layers.x.bias",
        ] {
            assert_eq!(our_name(name, 4), None, "{name}");
        }
    }
}
