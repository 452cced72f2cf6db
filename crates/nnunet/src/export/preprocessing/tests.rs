use super::*;
use crate::axes::Axes;
use crate::plans::Plans;
use serde_json::json;

/// Reads steps as those of a run whose step 1 was fitted.
fn read(steps: &Value, channels: usize) -> (Preprocessing, Vec<String>) {
    let text = format!(
        "{{ name: a, data: {{ source: {{ msd: {{ root: a }} }}, orientation: stored }}, preprocess: {steps}, \
         sampler: {{ uniform: {{ patch: [8, 8, 8] }} }}, model: {{ unet: {{ widths: [2, 4] }} }}, \
         loss: {{ cross_entropy: {{}} }}, optimizer: {{ adam: {{ learning_rate: 0.1 }} }}, train: {{ epochs: 1, batch_size: 1 }} }}"
    );
    let experiment = engine::experiment::load::parse("a.yaml", &text).unwrap().experiment;
    let mut fitted = FittedPreprocessing::unfitted(experiment.preprocess_chain());
    let params = json!({ "foreground_normalize": [{ "low": -1.0, "high": 2.0, "mean": 0.5, "std": 0.25 }] });
    fitted.fitted.insert(1, serde_json::from_value(params).unwrap());
    let mut refusals = Refusals::default();
    (preprocessing(&experiment, &fitted, channels, &mut refusals), refusals.texts())
}

fn refusals(steps: &Value, channels: usize) -> Vec<String> {
    read(steps, channels).1
}

#[test]
fn what_is_imported_is_exported_as_the_same() {
    let schemes = [
        "CTNormalization",
        "ZScoreNormalization",
        "RescaleTo01Normalization",
        "RGBTo01Normalization",
        "NoNormalization",
        "ZScoreNormalization",
        "RescaleTo01Normalization",
        "CTNormalization",
    ];
    let masks = [false, true, false, false, false, false, false, false];
    let properties = |mean: f64| json!({ "mean": mean, "std": 2.0, "percentile_00_5": -3.0, "percentile_99_5": 4.0 });
    for separate in [Value::Null, true.into(), false.into()] {
        let plans = json!({
            "dataset_name": "D", "plans_name": "P", "image_reader_writer": "R", "transpose_forward": [0, 1, 2],
            "foreground_intensity_properties_per_channel": { "0": properties(1.0), "1": {}, "7": properties(7.0) },
            "configurations": { "a": {
                "batch_size": 2, "patch_size": [8, 8, 8], "spacing": [3.0, 0.5, 0.7], "normalization_schemes": schemes,
                "use_mask_for_norm": masks, "resampling_fn_data_kwargs": { "force_separate_z": separate },
                "resampling_fn_probabilities_kwargs": { "force_separate_z": separate },
            } },
        });
        let plans = Plans::parse(&plans.to_string(), "plans.json").unwrap();
        let configuration = plans.configuration("a", "plans.json").unwrap();
        let axes = Axes::new(&plans.transpose_forward, 3).unwrap();
        let steps = crate::preprocessing::steps(&plans, &configuration, schemes.len(), &axes).unwrap();
        let (read, refusals) = read(&json!(steps), schemes.len());
        assert_eq!(refusals, [""; 0]);
        let classes: Vec<_> =
            read.schemes.iter().map(|scheme| (scheme.class(), *scheme == Scheme::ZScore(true))).collect();
        assert_eq!(classes, Vec::from_iter(schemes.into_iter().zip(masks)));
        assert_eq!(read.schemes[7], Scheme::Foreground(plans.intensities(7).unwrap()));
        let resampling = read.resampling.unwrap();
        assert_eq!(resampling.spacing, [Some(0.7), Some(0.5), Some(3.0)]);
        assert_eq!(resampling.forces_separate_axis, separate.as_bool());
    }
}

#[test]
fn fitted_statistics_and_computed_medians_are_exported() {
    let steps = json!([{ "crop_to_nonzero": {} }, { "foreground_normalize": { "percentiles": [1, 99] } },
        { "resample":
        { "spacing_mm": { "median": [1, 2, 3] }, "interpolation": "cubic", "convention": "nnunet" } }]);
    let (read, refusals) = read(&steps, 1);
    assert_eq!(refusals, [""; 0]);
    let fitted = Intensities { mean: 0.5, std: 0.25, percentile_00_5: -1.0, percentile_99_5: 2.0 };
    assert_eq!(read.schemes, [Scheme::Foreground(fitted)]);
    assert_eq!(read.resampling.unwrap().spacing, [1.0, 2.0, 3.0].map(Some));
}

#[test]
fn settings_without_effect_are_exported() {
    let one_channel = json!([{ "to_canonical": {} }, { "crop_to_nonzero": {} }, { "z_normalize": { "ddof": 0 } }]);
    let (read, refusals) = read(&one_channel, 1);
    assert_eq!((refusals, read.reorients), (Vec::new(), true));
    assert_eq!((&read.schemes[..], read.resampling), (&[Scheme::ZScore(false)][..], None));
    let other = json!([{ "crop_to_nonzero": {} }, { "z_normalize": { "ddof": 0, "min_std": 0.1 } }]);
    assert_eq!(
        self::refusals(&other, 1),
        ["preprocess.1.z_normalize: nnU-Net's ZScoreNormalization has `min_std: 1e-8`"]
    );
}

#[test]
fn what_nnunet_lacks_is_refused_with_the_settings_that_differ() {
    let steps = json!([
        { "clamp": { "min": -200, "max": 250 } },
        { "z_normalize": { "mask": { "nonzero": {} } } },
        { "rescale_intensity": { "to": [-1, 1], "channels": [2] } },
        { "resample": { "spacing_mm": [1, 1, 1], "antialias": true } },
    ]);
    let expected = [
        "preprocess.0.clamp: nnU-Net has no step `clamp`",
        "preprocess.1.z_normalize: nnU-Net's ZScoreNormalization has `ddof: 0`, `outside: unchanged` and `per_channel: true`",
        "preprocess.2.rescale_intensity: nnU-Net's RescaleTo01Normalization has `to: [0.0, 1.0]`",
        "preprocess.3.resample: nnU-Net resamples with `antialias: false`, `convention: nnunet` and `interpolation: cubic`",
        "preprocess: nnU-Net crops every scan to the voxels that are not 0",
    ];
    assert_eq!(refusals(&steps, 3), expected);
}

#[test]
fn steps_in_another_order_are_refused() {
    let z = |channels: &[usize]| json!({ "z_normalize": { "ddof": 0, "per_channel": true, "channels": channels } });
    let mut masked = z(&[1]);
    masked["z_normalize"]
        .as_object_mut()
        .unwrap()
        .extend([("mask".to_owned(), json!({ "nonzero": {} })), ("outside".to_owned(), "unchanged".into())]);
    let crop = json!({ "crop_to_nonzero": {} });
    let texts = refusals(&json!([z(&[0]), crop, masked, z(&[1])]), 2);
    let expected = [
        format!("preprocess.1.crop_to_nonzero: {ORDER}"),
        "preprocess.2.z_normalize: nnU-Net's mask is that of the intensities before any channel is normalized"
            .to_owned(),
        "preprocess.3.z_normalize: channel 1 is normalized twice, and by nnU-Net once".to_owned(),
    ];
    assert_eq!(texts, expected);
    assert_eq!(refusals(&json!([crop, masked, z(&[0])]), 2), [""; 0]);
    let ranges = json!([crop, { "rescale_intensity": {} }]);
    assert_eq!((refusals(&ranges, 1).len(), refusals(&ranges, 2).len()), (0, 1));
}
