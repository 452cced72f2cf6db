//! nnU-Net's preprocessing as the key `preprocess` of an experiment.

use serde_json::{Value, json};

use crate::ImportError;
use crate::axes::Axes;
use crate::normalization::normalization;
use crate::plans::{Configuration, Plans, Resampling};

/// nnU-Net's class of the steps before the network.
pub(crate) const PREPROCESSOR: &str = "DefaultPreprocessor";
/// The resampling function of nnU-Net that is the step `resample` with `convention: nnunet`.
pub(crate) const DEFAULT_RESAMPLING: &str = "resample_data_or_seg_to_shape";
/// The one that leaves volumes as they are.
pub(crate) const NO_RESAMPLING: &str = "no_resampling_hack";
/// The order of splines for images and for logits.
pub(crate) const ORDERS: [u32; 2] = [3, 1];
/// The ratio of spacings above which the coarsest axis is resampled separately.
const ANISOTROPY: f64 = 3.0;

/// Returns the steps of a configuration: crop, normalize, resample.
///
/// # Errors
/// When a function or scheme is not one of nnU-Net's own; it is named.
pub(crate) fn steps(
    plans: &Plans,
    configuration: &Configuration,
    channels: usize,
    axes: &Axes,
) -> Result<Vec<Value>, ImportError> {
    if let Some(name) = configuration.preprocessor_name.as_deref().filter(|name| *name != PREPROCESSOR) {
        return Err(unsupported("preprocessor", name, PREPROCESSOR));
    }
    let mut steps = vec![json!({ "crop_to_nonzero": {} })];
    steps.extend(normalization(plans, configuration, channels)?);
    steps.extend(resampling(configuration, axes)?);
    Ok(steps)
}

/// Returns the step that resamples; `None` if volumes stay as they are.
fn resampling(configuration: &Configuration, axes: &Axes) -> Result<Option<Value>, ImportError> {
    let functions = [&configuration.resampling_fn_data, &configuration.resampling_fn_probabilities];
    let names = functions.map(|name| name.as_deref().unwrap_or(DEFAULT_RESAMPLING));
    if names == [NO_RESAMPLING; 2] {
        return Ok(None);
    }
    if let Some(name) = names.into_iter().find(|name| *name != DEFAULT_RESAMPLING) {
        return Err(unsupported("resampling function", name, &format!("{DEFAULT_RESAMPLING} and {NO_RESAMPLING}")));
    }
    let arguments = [&configuration.resampling_fn_data_kwargs, &configuration.resampling_fn_probabilities_kwargs];
    for (arguments, order) in arguments.into_iter().zip(ORDERS) {
        let Resampling { is_seg, order: stated, order_z, separate_z_anisotropy_threshold, .. } = arguments;
        if stated.unwrap_or(order) != order
            || order_z.unwrap_or(0) != 0
            || is_seg.unwrap_or(false)
            || separate_z_anisotropy_threshold.unwrap_or(ANISOTROPY) != ANISOTROPY
        {
            return Err(ImportError::problem(
                format!("plans.json resamples with other arguments than nnU-Net's own: {arguments:?}"),
                "only order 3 for images, order 1 for logits, order_z 0 and a threshold of 3 can be imported",
            ));
        }
    }
    let separate = arguments.map(|arguments| arguments.force_separate_z);
    if separate[0] != separate[1] {
        return Err(ImportError::problem(
            "plans.json has different force_separate_z for images and for logits",
            "only the same for both can be imported",
        ));
    }
    let stated: Vec<Option<f64>> = configuration.spacing.iter().map(|spacing| Some(*spacing)).collect();
    let spacing =
        axes.in_file_order(&stated, None).filter(|_| configuration.spacing.iter().all(|spacing| *spacing > 0.0));
    let spacing = spacing.ok_or_else(|| {
        ImportError::problem(
            format!(
                "plans.json has the spacing {:?}; expected a number above 0 for each axis of the patch",
                configuration.spacing
            ),
            "use the plans.json that nnU-Net wrote beside the folds",
        )
    })?;
    let mut step = resample_rules();
    step["spacing_mm"] = json!(spacing);
    if let Some((_, word)) = SEPARATE_AXIS.into_iter().find(|(forced, _)| separate[0] == Some(*forced)) {
        step["separate_axis"] = word.into();
    }
    Ok(Some(json!({ "resample": step })))
}

/// The value of `separate_axis` for each of `force_separate_z`; without one, both choose by the spacing.
pub(crate) const SEPARATE_AXIS: [(bool, &str); 2] = [(true, "always"), (false, "never")];

/// Returns the settings of `resample` that nnU-Net always has.
pub(crate) fn resample_rules() -> Value {
    json!({ "interpolation": "cubic", "convention": "nnunet" })
}

/// Makes the problem of a function or class that is none of nnU-Net's own.
pub(crate) fn unsupported(what: &str, name: &str, known: &str) -> ImportError {
    ImportError::problem(format!("the {what} is {name}"), format!("only nnU-Net's {known} can be imported"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps_of(channels: usize, changes: Value) -> Result<Vec<Value>, ImportError> {
        let mut configuration = json!({
            "preprocessor_name": "DefaultPreprocessor", "batch_size": 2, "patch_size": [8, 16, 16], "spacing": [3, 0.5, 0.7],
            "normalization_schemes": ["CTNormalization"], "use_mask_for_norm": [false],
            "resampling_fn_data": "resample_data_or_seg_to_shape",
            "resampling_fn_data_kwargs": { "is_seg": false, "order": 3, "order_z": 0, "force_separate_z": null },
            "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
            "resampling_fn_probabilities_kwargs": { "is_seg": false, "order": 1, "order_z": 0, "force_separate_z": null },
        });
        configuration.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let intensities = |mean: f64| json!({ "mean": mean, "std": 2, "percentile_00_5": -3, "percentile_99_5": 4 });
        let plans = json!({
            "dataset_name": "D", "plans_name": "P", "image_reader_writer": "R", "transpose_forward": [0, 1, 2],
            "foreground_intensity_properties_per_channel": { "0": intensities(1.0), "2": intensities(5.0) },
            "configurations": { "a": configuration },
        });
        let plans = Plans::parse(&plans.to_string(), "plans.json").unwrap();
        let configuration = plans.configuration("a", "plans.json")?;
        let axes = Axes::new(&plans.transpose_forward, configuration.patch_size.len()).unwrap();
        steps(&plans, &configuration, channels, &axes)
    }

    #[test]
    fn volumes_are_cropped_normalized_and_resampled() {
        let statistics = json!([{ "low": -3.0, "high": 4.0, "mean": 1.0, "std": 2.0 }]);
        let expected = [
            json!({ "crop_to_nonzero": {} }),
            json!({ "foreground_normalize": { "statistics": statistics } }),
            json!({ "resample": { "spacing_mm": [0.7, 0.5, 3.0], "interpolation": "cubic", "convention": "nnunet" } }),
        ];
        assert_eq!(steps_of(1, json!({})).unwrap(), expected);
    }

    #[test]
    fn channels_of_one_scheme_share_a_step_and_masked_ones_are_first() {
        let schemes =
            ["CTNormalization", "ZScoreNormalization", "CTNormalization", "ZScoreNormalization", "NoNormalization"];
        let changes =
            json!({ "normalization_schemes": schemes, "use_mask_for_norm": [false, true, false, false, false] });
        let steps = steps_of(5, changes).unwrap();
        assert_eq!(steps.len(), 5);
        assert_eq!(steps[1]["z_normalize"]["mask"], json!({ "nonzero": {} }));
        assert_eq!(steps[1]["z_normalize"]["channels"], json!([1]));
        assert_eq!(steps[2]["foreground_normalize"]["channels"], json!([0, 2]));
        assert_eq!(steps[2]["foreground_normalize"]["statistics"][1]["mean"], 5.0);
        assert_eq!(
            steps[3]["z_normalize"],
            json!({ "ddof": 0, "per_channel": true, "min_std": 1e-8, "channels": [3] })
        );
    }

    #[test]
    fn ranges_are_those_of_each_channel() {
        let schemes =
            ["RescaleTo01Normalization", "RescaleTo01Normalization", "RGBTo01Normalization", "RGBTo01Normalization"];
        let steps = steps_of(4, json!({ "normalization_schemes": schemes })).unwrap();
        assert_eq!(steps[1]["rescale_intensity"], json!({ "to": [0, 1], "channels": [0] }));
        assert_eq!(steps[2]["rescale_intensity"], json!({ "to": [0, 1], "channels": [1] }));
        assert_eq!(steps[3]["rescale_intensity"], json!({ "from": [0, 255], "to": [0, 1], "channels": [2, 3] }));
    }

    #[test]
    fn slices_of_planar_configurations_keep_their_distance() {
        let steps = steps_of(1, json!({ "patch_size": [16, 16], "spacing": [0.5, 0.7] })).unwrap();
        assert_eq!(steps[2]["resample"]["spacing_mm"], json!([0.7, 0.5, null]));
    }

    #[test]
    fn a_separate_axis_may_be_forced_or_forbidden() {
        for (forced, expected) in [(true, "always"), (false, "never")] {
            let arguments = |order: u32| json!({ "order": order, "force_separate_z": forced });
            let changes = json!({ "resampling_fn_data_kwargs": arguments(3), "resampling_fn_probabilities_kwargs": arguments(1) });
            assert_eq!(steps_of(1, changes).unwrap()[2]["resample"]["separate_axis"], expected);
        }
        let without = json!({ "resampling_fn_data": NO_RESAMPLING, "resampling_fn_probabilities": NO_RESAMPLING });
        assert_eq!(steps_of(1, without).unwrap().len(), 2);
    }

    #[test]
    fn what_ours_lacks_is_refused_by_name() {
        for (changes, expected) in [
            (json!({ "preprocessor_name": "MyPreprocessor" }), "the preprocessor is MyPreprocessor"),
            (json!({ "normalization_schemes": ["MyNorm"] }), "the normalization is MyNorm"),
            (
                json!({ "resampling_fn_data": "resample_torch_fornnunet" }),
                "resampling function is resample_torch_fornnunet",
            ),
            (json!({ "resampling_fn_data_kwargs": { "order": 1 } }), "other arguments"),
            (json!({ "resampling_fn_data_kwargs": { "force_separate_z": true } }), "different force_separate_z"),
            (json!({ "normalization_schemes": ["CTNormalization", "CTNormalization"] }), "normalizes 2 channels"),
            (json!({ "spacing": [1, 1] }), "spacing [1.0, 1.0]"),
        ] {
            let error = steps_of(1, changes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let error =
            steps_of(2, json!({ "normalization_schemes": ["NoNormalization", "CTNormalization"] })).unwrap_err();
        assert!(error.to_string().contains("of channel 1"), "{error}");
    }
}
