//! The names of parameters in nnU-Net's networks and in ours.
//!
//! nnU-Net's state dict has most tensors several times: below `all_modules`, and the encoder again below `decoder.encoder`.
//! `docs/weights.md` describes our names.

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

/// Returns whether a name is another name of a parameter, or a counter of batch normalization.
pub(crate) fn is_repeated(name: &str) -> bool {
    name.contains(".all_modules.") || name.starts_with("decoder.encoder.") || name.ends_with(".num_batches_tracked")
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
