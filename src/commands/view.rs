//! `runner view`: renders an image with its label map and a prediction as animation, contact sheet or page.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::Execute;
use crate::output_paths::{check_file, make_folder_of};
use crate::terminal::{CliError, Exit};
use dataset::alignment::{Role, align};
use report::viewer::{self, ContactSheetOptions, IntensityWindow, Plane, Scene};
use values::format_number;
use volume::io::{self, ImageError};
use volume::{Grid, Label, Voxels, format_spacing};

/// Render an image with its label map and a prediction: animation, contact sheet or HTML page.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runner view scan.nii.gz --label seg.nii.gz --out scan.png
  runner view scan.nii.gz --label seg.nii.gz --prediction pred.nii.gz --out worst.png --differences
  runner view scan.nii.gz --label seg.nii.gz --names 1=liver,2=tumour --out scan.html")]
pub struct ViewArgs {
    /// Image, `.nii` or `.nii.gz`; of several channels the first is shown.
    image: PathBuf,
    /// Label map, drawn filled at half opacity.
    #[arg(long)]
    label: Option<PathBuf>,
    /// Predicted label map, drawn as contours.
    #[arg(long)]
    prediction: Option<PathBuf>,
    /// Output file: `.gif` for an animation of all slices, `.png` for a contact sheet, `.html` for an interactive page.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Intensity window, from black to white [default: -160,240 for Hounsfield units, otherwise the 0.5th and 99.5th percentiles].
    #[arg(long, value_name = "LOW,HIGH", allow_hyphen_values = true)]
    window: Option<IntensityWindow>,
    /// Plane of a `.gif` or `.png` [default: axial]; a page shows all three.
    #[arg(long, value_enum)]
    plane: Option<PlaneName>,
    /// Names of labels, such as `1=liver,2=tumour`.
    #[arg(long, value_name = "LABEL=NAME", value_parser = names)]
    names: Option<LabelNames>,
    /// For a `.png`: show the slices where label map and prediction differ most, with false negatives and false positives in
    /// two colours.
    #[arg(long, requires = "label", requires = "prediction")]
    differences: bool,
    /// Print only results, warnings and errors.
    #[arg(long)]
    quiet: bool,
}

/// The name of a plane.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum PlaneName {
    Axial,
    Coronal,
    Sagittal,
}

/// The output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Gif,
    Png,
    Html,
}

/// Maximum number of slices of a contact sheet.
const MAX_SLICES: usize = 12;

impl Execute for ViewArgs {
    /// Writes the output file.
    fn execute(&self) -> Result<Exit, CliError> {
        let format = format(self)?;
        check_file(&self.out)?;
        let scene = scene(self)?;
        let plane = match self.plane {
            None | Some(PlaneName::Axial) => Plane::Axial,
            Some(PlaneName::Coronal) => Plane::Coronal,
            Some(PlaneName::Sagittal) => Plane::Sagittal,
        };
        let title = title(self, plane, &scene);
        make_folder_of(&self.out)?;
        let left_out = match format {
            Format::Gif => viewer::write_gif(&scene, plane, &title, &self.out),
            Format::Png => {
                let options =
                    ContactSheetOptions { title, plane, max_slices: MAX_SLICES, differences: self.differences };
                viewer::write_png(&scene, &options, &self.out).map(|()| None)
            }
            Format::Html => viewer::write_html(&scene, &io::case_name(&self.image), &self.out),
        };
        let left_out = left_out.map_err(|error| CliError::failure(&error))?;
        if !self.quiet {
            eprintln!("{}", describe_window(self, &scene));
        }
        if let Some(left_out) = left_out {
            eprintln!("warning: {left_out}");
        }
        outln!("{}", self.out.display());
        Ok(Exit::Done)
    }
}

/// Returns the format by the extension of the output, and checks that the options apply to it.
fn format(arguments: &ViewArgs) -> Result<Format, CliError> {
    let ending = arguments.out.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    let format = match ending.as_deref() {
        Some("gif") => Format::Gif,
        Some("png") => Format::Png,
        Some("html" | "htm") => Format::Html,
        _ => {
            return Err(CliError::problem(
                format!("the extension of {} is not a known format", arguments.out.display()),
                "end --out with .gif for an animation, .png for a contact sheet, or .html for a page",
            ));
        }
    };
    if format == Format::Html && arguments.plane.is_some() {
        return Err(CliError::problem("a page shows all planes", "leave --plane out, or write a .gif or .png"));
    }
    if format != Format::Png && arguments.differences {
        return Err(CliError::problem(
            "--differences applies only to a contact sheet",
            "write a .png, or leave --differences out",
        ));
    }
    Ok(format)
}

/// Reads the files.
fn scene(arguments: &ViewArgs) -> Result<Scene, CliError> {
    let (grid, image) = read_existing(&arguments.image, io::read_image)?;
    if image.channels > 1 {
        let advice = io::slices_as_channels(image.shape).map(|advice| format!("; {advice}")).unwrap_or_default();
        let (path, channels) = (arguments.image.display(), image.channels);
        eprintln!("warning: {path} has {channels} channels; the first is shown{advice}");
    }
    let map = |path: &Option<PathBuf>, role| path.as_deref().map(|path| label_map(path, role, &grid)).transpose();
    let label = map(&arguments.label, Role::LabelMap)?;
    let prediction = map(&arguments.prediction, Role::Prediction)?;
    let mut scene = Scene::new(&grid, &image, label.as_ref(), prediction.as_ref());
    scene.names = arguments.names.clone().unwrap_or_default().0;
    if let Some(window) = arguments.window {
        scene.window = window;
    }
    Ok(scene)
}

/// Reads a file that must exist.
fn read_existing<T>(path: &Path, read: impl Fn(&Path) -> Result<T, ImageError>) -> Result<T, CliError> {
    if !path.exists() {
        return Err(CliError::problem(
            format!("{} does not exist", path.display()),
            format!("name a {} file", io::endings()),
        ));
    }
    read(path).map_err(|error| CliError::image(&error))
}

/// Reads a label map in the axis order of the image.
fn label_map(path: &Path, role: Role, grid: &Grid) -> Result<Voxels<Label>, CliError> {
    let read = read_existing(path, io::read_label)?;
    let own = read.0;
    align(role, path, read, (Role::Image, grid)).map_err(|mismatch| {
        let (path, what) = (path.display(), mismatch.what());
        let grids = format!("{role} of {}; image of {}", describe_grid(&own), describe_grid(grid));
        CliError::problem(format!("{role} {path}: {what} ({grids})"), mismatch.fix())
    })
}

/// Describes shape, spacing, orientation and origin of a grid.
fn describe_grid(grid: &Grid) -> String {
    let [x, y, z] = grid.shape;
    let (spacing, orientation) = (format_spacing(grid.spacing()), grid.affine.orientation());
    let origin = grid.affine.origin().map(format_number).join(", ");
    format!("{x} x {y} x {z} voxels of {spacing}, {orientation}, origin at {origin} mm")
}

/// Describes the window and how it was chosen.
fn describe_window(arguments: &ViewArgs, scene: &Scene) -> String {
    let why = match arguments.window {
        Some(_) => return format!("window: {}", scene.window),
        None if scene.is_hounsfield => "HU, because the intensities look like Hounsfield units",
        None => "by the percentiles 0.5 and 99.5",
    };
    format!("window: {} {why}; --window LOW,HIGH sets another", scene.window)
}

/// Returns the title above the pictures.
fn title(arguments: &ViewArgs, plane: Plane, scene: &Scene) -> String {
    let unit = if scene.is_hounsfield { " HU" } else { "" };
    let mut words = vec![plane.name().to_owned(), format!("window {}{unit}", scene.window)];
    if arguments.differences {
        words.push("where label and prediction differ most".to_owned());
    } else {
        words.extend(arguments.label.is_some().then(|| "label filled".to_owned()));
        words.extend(arguments.prediction.is_some().then(|| "prediction outlined".to_owned()));
    }
    format!("{}: {}", io::case_name(&arguments.image), words.join(", "))
}

/// Names of labels.
#[derive(Clone, Debug, Default)]
struct LabelNames(BTreeMap<Label, String>);

/// Parses `1=liver,2=tumour`. A comma that no `LABEL=` follows belongs to the name.
fn names(text: &str) -> Result<LabelNames, String> {
    let expected = |part: &str| format!("expected LABEL=NAME such as 1=liver, got {part}");
    let mut names: Vec<(Label, String)> = Vec::new();
    for part in text.split(',') {
        let label =
            part.split_once('=').and_then(|(label, name)| Some((label.trim().parse().ok()?, name.trim().to_owned())));
        match (label, names.last_mut()) {
            (Some(label), _) => names.push(label),
            (None, Some((_, name))) if !part.contains('=') => *name = format!("{name},{part}"),
            (None, _) => return Err(expected(part)),
        }
    }
    match names.iter().find(|(_, name)| name.is_empty()) {
        Some((label, _)) => Err(expected(&format!("{label}="))),
        None => Ok(LabelNames(names.into_iter().collect())),
    }
}
