//! `runner view`: the three formats, invalid arguments, and the page in a real browser; skipped without Chromium.

use std::fs;
use std::path::Path;

use assert_cmd::assert::Assert;
use serde_json::{Value as Json, json};
use volume::io::{read_image, read_label, write_image, write_label};
use volume::{Affine, Grid, Label, Voxels, offset};

use crate::browser::Browser;
use crate::test_dir::{TestDir, stderr, stdout};

const IMAGE: &str = "data/imagesTr/phantom_000.nii.gz";
const LABEL: &str = "data/labelsTr/phantom_000.nii.gz";

/// Writes a phantom with thick slices, and a prediction that is shifted to the left by two voxels.
fn phantom_with_prediction() -> TestDir {
    let dir = TestDir::new();
    let shape = ["--shape", "48,40,20", "--spacing", "7,7,14"];
    dir.runner(&[&["phantom", "data", "--subjects", "1"][..], &shape].concat()).success();
    let (grid, label) = read_label(&dir.path(LABEL)).unwrap();
    let mut shifted = vec![0; label.len()];
    let step = offset(grid.shape, [2, 0, 0]);
    shifted[..label.len() - step].copy_from_slice(&label[step..]);
    write_label(&dir.path("prediction.nii.gz"), &grid, &Voxels::new(1, grid.shape, shifted)).unwrap();
    dir
}

fn view(dir: &TestDir, out: &str, more: &[&str]) -> Assert {
    let maps = ["view", IMAGE, "--label", LABEL, "--prediction", "prediction.nii.gz", "--out", out];
    dir.runner(&[&maps[..], &["--names", "1=liver,2=tumour"], more].concat())
}

/// Reads the width and height of a PNG.
fn png_size(path: &Path) -> (u32, u32) {
    let bytes = fs::read(path).unwrap();
    assert_eq!(bytes[..8], *b"\x89PNG\r\n\x1a\n");
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

#[test]
fn an_animation_has_a_frame_per_slice_of_its_plane() {
    let dir = phantom_with_prediction();
    for (more, slices) in [(&[][..], 20), (&["--plane", "coronal"], 40), (&["--plane", "sagittal"], 48)] {
        let output = stdout(&view(&dir, "a.gif", more).success());
        assert_eq!(output, "a.gif\n");
        let mut frames = gif::DecodeOptions::new().read_info(fs::File::open(dir.path("a.gif")).unwrap()).unwrap();
        let mut previous = Vec::new();
        let mut count = 0;
        while let Some(frame) = frames.read_next_frame().unwrap() {
            assert!((8..=25).contains(&frame.delay));
            assert_ne!(*frame.buffer, previous, "frame {count} equals the one before");
            previous = frame.buffer.to_vec();
            count += 1;
        }
        assert_eq!(count, slices);
    }
}

#[test]
fn a_contact_sheet_does_not_depend_on_the_storage_orientation() {
    let dir = phantom_with_prediction();
    view(&dir, "a.png", &[]).success();
    // The same volume stored as LPS.
    let flip = |grid: Grid| {
        let [x, y, _] = grid.shape.map(|size| size as f64 - 1.0);
        let flip = Affine([[-1.0, 0.0, 0.0, x], [0.0, -1.0, 0.0, y], [0.0, 0.0, 1.0, 0.0]]);
        Grid { affine: grid.affine.after(&flip), ..grid }
    };
    let source = |[width, height, depth]: [usize; 3], index: usize| {
        let [x, y, z] = [index / (height * depth), index / depth % height, index % depth];
        offset([width, height, depth], [width - 1 - x, height - 1 - y, z])
    };
    let (grid, image) = read_image(&dir.path(IMAGE)).unwrap();
    let values = (0..image.len()).map(|index| image[source(grid.shape, index)]).collect();
    write_image(&dir.path(IMAGE), &flip(grid), &Voxels::new(1, grid.shape, values)).unwrap();
    for name in [LABEL, "prediction.nii.gz"] {
        let (grid, map) = read_label(&dir.path(name)).unwrap();
        let values: Vec<Label> = (0..map.len()).map(|index| map[source(grid.shape, index)]).collect();
        write_label(&dir.path(name), &flip(grid), &Voxels::new(1, grid.shape, values)).unwrap();
    }
    view(&dir, "b.png", &[]).success();
    assert!(fs::read(dir.path("a.png")).unwrap() == fs::read(dir.path("b.png")).unwrap());
}

#[test]
fn contact_sheets_differ_by_plane_window_and_differences() {
    let dir = phantom_with_prediction();
    let mut sheets = Vec::new();
    for more in [&[][..], &["--differences"], &["--plane", "coronal"], &["--window", "-1000,0"]] {
        view(&dir, "a.png", more).success();
        let (width, height) = png_size(&dir.path("a.png"));
        assert!(width > 600 && height > 300, "{width} x {height}");
        sheets.push(fs::read(dir.path("a.png")).unwrap());
    }
    let different: std::collections::BTreeSet<_> = sheets.iter().collect();
    assert_eq!(different.len(), sheets.len());
}

#[test]
fn the_window_is_reported_with_its_origin() {
    let dir = phantom_with_prediction();
    let message = |more: &[&str]| stderr(&view(&dir, "a.png", more).success());
    assert!(message(&[]).contains("-160 to 240 HU, because the intensities look like Hounsfield units"));
    assert!(message(&["--window", "-100,50"]).contains("window: -100 to 50\n"));
    assert_eq!(message(&["--quiet"]), "");
    let grid = Grid { shape: [4, 4, 4], affine: Affine::IDENTITY };
    let image = Voxels::new(1, grid.shape, (0..64).map(|value| value as f32).collect());
    write_image(&dir.path("mr.nii"), &grid, &image).unwrap();
    let message = stderr(&dir.runner(&["view", "mr.nii", "--out", "a.png"]).success());
    assert!(message.contains("0 to 63 by the percentiles 0.5 and 99.5"), "{message}");
}

#[test]
fn unusual_images_can_be_shown() {
    let dir = TestDir::new();
    let write = |channels: usize, shape: [usize; 3], value: fn(usize) -> f32| {
        let values = (0..channels * shape.iter().product::<usize>()).map(value).collect();
        let grid = Grid { shape, affine: Affine([[0.0, 0.0, 2.0, 0.0], [1.0, 0.1, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]) };
        write_image(&dir.path("image.nii"), &grid, &Voxels::new(channels, shape, values)).unwrap();
    };
    let show = |what: &str| {
        let mut message = String::new();
        for out in ["a.gif", "a.png", "a.html"] {
            message = stderr(&dir.runner(&["view", "image.nii", "--out", out]).success());
            assert!(dir.path(out).exists(), "{what}: {out}");
            fs::remove_file(dir.path(out)).unwrap();
        }
        message
    };
    write(1, [5, 4, 3], |_| f32::NAN);
    show("only NaN");
    write(1, [5, 4, 3], |_| 7.0);
    show("a constant image");
    write(1, [6, 5, 1], |voxel| voxel as f32);
    show("a single slice");
    write(1, [1, 1, 1], |_| 1.0);
    show("a single voxel");
    write(1, [5, 4, 3], |voxel| if voxel == 7 { f32::INFINITY } else { 1e30 * voxel as f32 });
    show("huge values");
    write(2, [5, 4, 3], |voxel| voxel as f32);
    assert!(show("two channels").contains("has 2 channels; the first is shown"));
}

#[test]
fn invalid_arguments_are_reported_with_a_fix() {
    let dir = phantom_with_prediction();
    let message = |arguments: &[&str], code: i32| {
        let message = stderr(&dir.runner(&[&["view", IMAGE][..], arguments].concat()).code(code));
        message.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for out in ["a.jpg", "a", "a.nii.gz"] {
        assert!(message(&["--out", out], 2).contains(".gif for an animation, .png for a contact sheet, or .html"));
    }
    assert!(message(&["--out", "a.png", "--label", "absent.nii.gz"], 2).contains("absent.nii.gz does not exist"));
    assert!(message(&["--out", "a.png", "--window", "240,-160"], 2).contains("LOW,HIGH"));
    assert!(message(&["--out", "a.png", "--names", "liver"], 2).contains("LABEL=NAME"));
    assert!(message(&["--out", "a.html", "--plane", "axial"], 2).contains("a page shows all planes"));
    assert!(message(&["--out", "a.gif", "--differences", "--label", LABEL], 2).contains("--prediction"));
    let below_a_file = format!("{IMAGE}/a.png");
    assert!(message(&["--out", &below_a_file], 2).contains(&format!("{IMAGE} is a file")));

    let grid = Grid { shape: [4, 5, 6], affine: Affine::scale_and_shift([-1.0, 1.0, 2.5], [0.0; 3]) };
    write_label(&dir.path("other.nii"), &grid, &Voxels::new(1, grid.shape, vec![0; 120])).unwrap();
    let words = message(&["--out", "a.png", "--label", "other.nii"], 2);
    for text in ["4 x 5 x 6 voxels of 1 x 1 x 2.5 mm, LAS", "48 x 40 x 20 voxels", "RAS", "resample"] {
        assert!(words.contains(text), "{text} is missing in\n{words}");
    }
    dir.write("broken.nii", "no NIfTI");
    assert!(message(&["--out", "a.png", "--label", "broken.nii"], 3).contains("broken.nii"));
    assert!(!dir.path("a.png").exists());
}

/// Waits until the page is rendered.
fn wait_until_rendered(browser: &mut Browser) {
    let is_rendered = "new Promise(done => { const ask = () => document.body.dataset.ready ? \
        requestAnimationFrame(() => requestAnimationFrame(() => done(true))) : setTimeout(ask, 5); ask(); })";
    assert_eq!(browser.evaluate(is_rendered), json!(true));
}

/// Returns the contents of the canvas.
fn canvas(browser: &mut Browser) -> String {
    wait_until_rendered(browser);
    browser.evaluate("document.getElementById('slice').toDataURL()").as_str().unwrap().to_owned()
}

/// Returns width / height of the canvas.
fn aspect_ratio(browser: &mut Browser) -> f64 {
    wait_until_rendered(browser);
    browser
        .evaluate("document.getElementById('slice').width / document.getElementById('slice').height")
        .as_f64()
        .unwrap()
}

fn text(browser: &mut Browser, id: &str) -> String {
    wait_until_rendered(browser);
    browser.evaluate(&format!("document.getElementById('{id}').textContent")).as_str().unwrap().to_owned()
}

/// Parses the numbers in a text such as `1, 2, 3`.
fn numbers(text: &str) -> Vec<f64> {
    text.split(", ").map(|number| number.parse().unwrap()).collect()
}

fn press(browser: &mut Browser, key: &str) {
    for kind in ["keyDown", "keyUp"] {
        browser.call("Input.dispatchKeyEvent", json!({ "type": kind, "key": key, "code": key }));
    }
}

/// Sets the value of an input, and sends the event.
fn set(browser: &mut Browser, id: &str, value: &str) {
    let set = format!(
        "(() => {{ const e = document.getElementById('{id}'); e.value = {value}; \
         e.dispatchEvent(new Event('input', {{ bubbles: true }})); }})()"
    );
    browser.evaluate(&set);
}

/// Opens a page of the phantom in a browser.
fn open(dir: &TestDir) -> Option<Browser> {
    let mut browser = Browser::start()?;
    view(dir, "a.html", &[]).success();
    browser.open(&dir.path("a.html"));
    wait_until_rendered(&mut browser);
    Some(browser)
}

#[test]
fn every_control_of_the_page_changes_the_picture() {
    let dir = phantom_with_prediction();
    let Some(mut browser) = open(&dir) else { return };
    // Nothing is loaded, not even from the same folder.
    let page = fs::read_to_string(dir.path("a.html")).unwrap();
    for tag in ["<link", "src=", "@import", "url(", "fetch("] {
        assert!(!page.contains(tag), "{tag}");
    }
    assert_eq!(browser.evaluate("performance.getEntriesByType('resource').length"), json!(0));

    let mut seen = vec![canvas(&mut browser)];
    let mut changed = |browser: &mut Browser, what: &str| {
        let now = canvas(browser);
        assert!(!seen.contains(&now), "{what} changes nothing");
        seen.push(now);
    };
    let before = text(&mut browser, "position");
    set(&mut browser, "slice-index", "6");
    changed(&mut browser, "the slider");
    assert!(text(&mut browser, "position").starts_with("7 of 20 · z ") && before != text(&mut browser, "position"));
    browser.evaluate("document.getElementById('slice').focus()");
    press(&mut browser, "ArrowUp");
    changed(&mut browser, "an arrow key");
    assert!(text(&mut browser, "position").starts_with("8 of 20"));
    let (x, y) = browser.centre_of("#slice");
    let wheel = json!({ "type": "mouseWheel", "x": x, "y": y, "deltaX": 0, "deltaY": -100 });
    browser.call("Input.dispatchMouseEvent", wheel);
    changed(&mut browser, "the wheel");
    browser.click("#show-label");
    changed(&mut browser, "the label check box");
    browser.click("#show-prediction");
    changed(&mut browser, "the prediction check box");
    browser.click("#show-label");
    changed(&mut browser, "the label alone");
    set(&mut browser, "opacity", "0.9");
    changed(&mut browser, "the opacity");
    browser.click("#presets button:nth-child(4)");
    changed(&mut browser, "a preset");
    assert_eq!(browser.evaluate("document.getElementById('level-number').value"), json!("-600"));
    set(&mut browser, "width", "3000");
    changed(&mut browser, "the width of the window");
    set(&mut browser, "zoom", "3");
    changed(&mut browser, "the zoom");
    browser.click("#labels [data-label='1']");
    changed(&mut browser, "the check box of a label");
    let legend = "getComputedStyle(document.querySelector('.legend')).display";
    assert_eq!(browser.evaluate(legend), json!("none"));
    press(&mut browser, "d");
    changed(&mut browser, "the check box of differences");
    assert_eq!(browser.evaluate(legend), json!("block"));
    assert_eq!(browser.evaluate("window.problems"), json!([]));
}

#[test]
fn the_page_shows_voxels_at_their_position() {
    let dir = phantom_with_prediction();
    let Some(mut browser) = open(&dir) else { return };
    let (grid, image) = read_image(&dir.path(IMAGE)).unwrap();
    let (_, label) = read_label(&dir.path(LABEL)).unwrap();
    // Pixels are square: 48 x 40 voxels of 7 mm, 20 slices of 14 mm.
    for (plane, expected) in [(1, 336.0 / 280.0), (2, 336.0 / 280.0), (3, 1.0)] {
        press(&mut browser, &plane.to_string());
        assert!((aspect_ratio(&mut browser) - expected).abs() < 0.01, "plane {plane}");
    }
    press(&mut browser, "1");
    // The readout shows the voxel of the file; the patient's right is at the left, and anterior at the top.
    let (x, y) = browser.centre_of("#slice");
    let mut worlds = Vec::new();
    for (dx, dy) in [(-40.0, -30.0), (40.0, 30.0)] {
        browser.point((x + dx, y + dy), false);
        let voxel = numbers(&text(&mut browser, "voxel"));
        let world = numbers(&text(&mut browser, "world"));
        let stored = offset(grid.shape, std::array::from_fn(|axis| voxel[axis] as usize));
        let value: f32 = text(&mut browser, "intensity").parse().unwrap();
        assert_eq!(value, image[stored]);
        let name = ["–", "liver", "tumour"][usize::from(label[stored])];
        assert_eq!(text(&mut browser, "voxel-label"), name);
        let expected = grid.affine.apply(std::array::from_fn(|axis| voxel[axis]));
        assert!(expected.iter().zip(&world).all(|(a, b)| (a - b).abs() < 0.06), "{expected:?} {world:?}");
        worlds.push(world);
    }
    assert!(worlds[0][0] > worlds[1][0] && worlds[0][1] > worlds[1][1], "{worlds:?}");
    // Clicking selects the point that the other planes show.
    browser.point((x + 40.0, y + 30.0), true);
    press(&mut browser, "3");
    assert!(text(&mut browser, "position").contains(&format!("x {:.1} mm", worlds[1][0])));

    // The table has voxels and millilitres; its button shows the slice with the most voxels of the label in either map.
    let liver = label.iter().filter(|label| **label == 1).count();
    let cells = browser
        .evaluate("[...document.querySelectorAll('#labels tbody tr:first-child td.number')].map(c => c.textContent)");
    assert_eq!(cells[0], json!(liver.to_string()));
    assert_eq!(cells[1], json!(format!("{:.0}", liver as f64 * 7.0 * 7.0 * 14.0 / 1000.0)));
    press(&mut browser, "1");
    browser.click("#labels [data-show='1']");
    let (_, prediction) = read_label(&dir.path("prediction.nii.gz")).unwrap();
    let has_liver = |voxel: usize| label[voxel] == 1 || prediction[voxel] == 1;
    let in_slice = |z: usize| (0..48 * 40).filter(|row| has_liver(row * 20 + z)).count();
    let largest = (0..20).max_by_key(|z| (in_slice(*z), std::cmp::Reverse(*z))).unwrap();
    assert!(text(&mut browser, "position").starts_with(&format!("{} of 20", largest + 1)));
    assert_eq!(browser.evaluate("window.problems"), json!([]));
}

#[test]
fn the_page_fits_narrow_windows_and_is_light_and_dark() {
    let dir = phantom_with_prediction();
    let Some(mut browser) = open(&dir) else { return };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let background = "getComputedStyle(document.body).backgroundColor";
    let before = browser.evaluate(background);
    // Screenshots for visual inspection.
    browser.screenshot(&folder.join("view_light.png"));
    browser.click("#theme");
    assert_ne!(browser.evaluate(background), before);
    browser.screenshot(&folder.join("view_dark.png"));
    let narrow = json!({ "width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": true });
    browser.call("Emulation.setDeviceMetricsOverride", narrow);
    wait_until_rendered(&mut browser);
    assert_eq!(browser.evaluate("document.documentElement.scrollWidth <= 390"), json!(true));
    let canvas = browser.evaluate("document.getElementById('slice').getBoundingClientRect().width");
    assert!(canvas.as_f64().unwrap() > 300.0);
    browser.screenshot(&folder.join("view_narrow.png"));
    assert_eq!(browser.evaluate("window.problems"), Json::Array(Vec::new()));
}
