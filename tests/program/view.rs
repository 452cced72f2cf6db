//! `runner view`: the three formats, what cannot be shown, and the page in a real browser; the last is
//! skipped where no Chromium is installed.

use std::fs;
use std::path::Path;

use assert_cmd::assert::Assert;
use serde_json::{Value as Json, json};
use volume::io::{read_image, read_label, write_image, write_label};
use volume::{Affine, Grid, Label, Voxels, offset};

use crate::browser::Browser;
use crate::place::{Place, stderr, stdout};

const IMAGE: &str = "data/imagesTr/phantom_000.nii.gz";
const LABEL: &str = "data/labelsTr/phantom_000.nii.gz";

/// A phantom with thick slices, and a prediction of it that lies two voxels too far to the left.
fn place() -> Place {
    let place = Place::new();
    let shape = ["--shape", "48,40,20", "--spacing", "7,7,14"];
    place.runner(&[&["phantom", "data", "--subjects", "1"][..], &shape].concat()).success();
    let (grid, label) = read_label(&place.path(LABEL)).unwrap();
    let mut moved = vec![0; label.len()];
    let step = offset(grid.shape, [2, 0, 0]);
    moved[..label.len() - step].copy_from_slice(&label[step..]);
    write_label(&place.path("prediction.nii.gz"), &grid, &Voxels::new(1, grid.shape, moved)).unwrap();
    place
}

fn view(place: &Place, out: &str, more: &[&str]) -> Assert {
    let maps = ["view", IMAGE, "--label", LABEL, "--prediction", "prediction.nii.gz", "--out", out];
    place.runner(&[&maps[..], &["--names", "1=liver,2=tumour"], more].concat())
}

/// Width and height of a PNG.
fn png_size(path: &Path) -> (u32, u32) {
    let bytes = fs::read(path).unwrap();
    assert_eq!(bytes[..8], *b"\x89PNG\r\n\x1a\n");
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

#[test]
fn an_animation_has_a_frame_for_every_slice_of_its_plane() {
    let place = place();
    for (more, slices) in [(&[][..], 20), (&["--plane", "coronal"], 40), (&["--plane", "sagittal"], 48)] {
        let told = stdout(&view(&place, "a.gif", more).success());
        assert_eq!(told, "a.gif\n");
        let mut frames = gif::DecodeOptions::new().read_info(fs::File::open(place.path("a.gif")).unwrap()).unwrap();
        let mut before = Vec::new();
        let mut count = 0;
        while let Some(frame) = frames.read_next_frame().unwrap() {
            assert!((8..=25).contains(&frame.delay));
            assert_ne!(*frame.buffer, before, "frame {count} shows something else");
            before = frame.buffer.to_vec();
            count += 1;
        }
        assert_eq!(count, slices);
    }
}

#[test]
fn a_contact_sheet_shows_the_same_of_a_volume_however_it_is_stored() {
    let place = place();
    view(&place, "a.png", &[]).success();
    // Stored from the left to the right and from the front to the back: LPS.
    let turn = |grid: Grid| {
        let [x, y, _] = grid.shape.map(|size| size as f64 - 1.0);
        let turn = Affine([[-1.0, 0.0, 0.0, x], [0.0, -1.0, 0.0, y], [0.0, 0.0, 1.0, 0.0]]);
        Grid { affine: grid.affine.after(&turn), ..grid }
    };
    let from = |[width, height, depth]: [usize; 3], place: usize| {
        let [x, y, z] = [place / (height * depth), place / depth % height, place % depth];
        offset([width, height, depth], [width - 1 - x, height - 1 - y, z])
    };
    let (grid, image) = read_image(&place.path(IMAGE)).unwrap();
    let values = (0..image.len()).map(|place| image[from(grid.shape, place)]).collect();
    write_image(&place.path(IMAGE), &turn(grid), &Voxels::new(1, grid.shape, values)).unwrap();
    for name in [LABEL, "prediction.nii.gz"] {
        let (grid, map) = read_label(&place.path(name)).unwrap();
        let values: Vec<Label> = (0..map.len()).map(|place| map[from(grid.shape, place)]).collect();
        write_label(&place.path(name), &turn(grid), &Voxels::new(1, grid.shape, values)).unwrap();
    }
    view(&place, "b.png", &[]).success();
    assert!(fs::read(place.path("a.png")).unwrap() == fs::read(place.path("b.png")).unwrap());
}

#[test]
fn a_contact_sheet_shows_labels_or_where_they_differ_in_any_plane() {
    let place = place();
    let mut pictures = Vec::new();
    for more in [&[][..], &["--differences"], &["--plane", "coronal"], &["--window", "-1000,0"]] {
        view(&place, "a.png", more).success();
        let (width, height) = png_size(&place.path("a.png"));
        assert!(width > 600 && height > 300, "{width} x {height}");
        pictures.push(fs::read(place.path("a.png")).unwrap());
    }
    let different: std::collections::BTreeSet<_> = pictures.iter().collect();
    assert_eq!(different.len(), pictures.len());
}

#[test]
fn the_window_is_told_with_who_chose_it() {
    let place = place();
    let told = |more: &[&str]| stderr(&view(&place, "a.png", more).success());
    assert!(told(&[]).contains("-160 to 240 HU, for the intensities look like Hounsfield units"));
    assert!(told(&["--window", "-100,50"]).contains("window: -100 to 50\n"));
    assert_eq!(told(&["--quiet"]), "");
    let grid = Grid { shape: [4, 4, 4], affine: Affine::IDENTITY };
    let image = Voxels::new(1, grid.shape, (0..64).map(|value| value as f32).collect());
    write_image(&place.path("mr.nii"), &grid, &image).unwrap();
    let told = stderr(&place.runner(&["view", "mr.nii", "--out", "a.png"]).success());
    assert!(told.contains("0 to 63 by the percentiles 0.5 and 99.5"), "{told}");
}

#[test]
fn awkward_images_are_shown_too() {
    let place = Place::new();
    let write = |channels: usize, shape: [usize; 3], value: fn(usize) -> f32| {
        let values = (0..channels * shape.iter().product::<usize>()).map(value).collect();
        let grid = Grid { shape, affine: Affine([[0.0, 0.0, 2.0, 0.0], [1.0, 0.1, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]) };
        write_image(&place.path("image.nii"), &grid, &Voxels::new(channels, shape, values)).unwrap();
    };
    let show = |what: &str| {
        let mut told = String::new();
        for out in ["a.gif", "a.png", "a.html"] {
            told = stderr(&place.runner(&["view", "image.nii", "--out", out]).success());
            assert!(place.path(out).exists(), "{what}: {out}");
            fs::remove_file(place.path(out)).unwrap();
        }
        told
    };
    write(1, [5, 4, 3], |_| f32::NAN);
    show("no number at all");
    write(1, [5, 4, 3], |_| 7.0);
    show("one value");
    write(1, [6, 5, 1], |place| place as f32);
    show("a single slice");
    write(1, [1, 1, 1], |_| 1.0);
    show("a single voxel");
    write(1, [5, 4, 3], |place| if place == 7 { f32::INFINITY } else { 1e30 * place as f32 });
    show("huge values");
    write(2, [5, 4, 3], |place| place as f32);
    assert!(show("two channels").contains("has 2 channels; the first is shown"));
}

#[test]
fn what_cannot_be_shown_is_told_with_a_way_out() {
    let place = place();
    let told = |arguments: &[&str], code: i32| {
        let told = stderr(&place.runner(&[&["view", IMAGE][..], arguments].concat()).code(code));
        told.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for out in ["a.jpg", "a", "a.nii.gz"] {
        assert!(told(&["--out", out], 2).contains(".gif for an animation, .png for a contact sheet, or .html"));
    }
    assert!(told(&["--out", "a.png", "--label", "absent.nii.gz"], 2).contains("there is no file absent.nii.gz"));
    assert!(told(&["--out", "a.png", "--window", "240,-160"], 2).contains("LOW,HIGH"));
    assert!(told(&["--out", "a.png", "--names", "liver"], 2).contains("LABEL=NAME"));
    assert!(told(&["--out", "a.html", "--plane", "axial"], 2).contains("a page shows all planes"));
    assert!(told(&["--out", "a.gif", "--differences", "--label", LABEL], 2).contains("--prediction"));
    let below_a_file = format!("{IMAGE}/a.png");
    assert!(told(&["--out", &below_a_file], 3).contains("cannot make"));

    let grid = Grid { shape: [4, 5, 6], affine: Affine::scale_and_shift([-1.0, 1.0, 2.5], [0.0; 3]) };
    write_label(&place.path("other.nii"), &grid, &Voxels::new(1, grid.shape, vec![0; 120])).unwrap();
    let words = told(&["--out", "a.png", "--label", "other.nii"], 2);
    for text in ["4 x 5 x 6 voxels of 1.00 x 1.00 x 2.50 mm, LAS", "48 x 40 x 20 voxels", "RAS", "resample"] {
        assert!(words.contains(text), "{text} is missing in\n{words}");
    }
    place.write("broken.nii", "no NIfTI");
    assert!(told(&["--out", "a.png", "--label", "broken.nii"], 3).contains("broken.nii"));
    assert!(!place.path("a.png").exists());
}

/// Waits until the page has drawn what was asked of it.
fn resolve_from_volume(browser: &mut Browser) {
    let ask = "new Promise(done => { const ask = () => document.body.dataset.ready ? \
        requestAnimationFrame(() => requestAnimationFrame(() => done(true))) : setTimeout(ask, 5); ask(); })";
    assert_eq!(browser.evaluate(ask), json!(true));
}

/// What is on the canvas.
fn picture(browser: &mut Browser) -> String {
    resolve_from_volume(browser);
    browser.evaluate("document.getElementById('slice').toDataURL()").as_str().unwrap().to_owned()
}

/// Width over height of the canvas.
fn proportion(browser: &mut Browser) -> f64 {
    resolve_from_volume(browser);
    browser
        .evaluate("document.getElementById('slice').width / document.getElementById('slice').height")
        .as_f64()
        .unwrap()
}

fn text(browser: &mut Browser, id: &str) -> String {
    resolve_from_volume(browser);
    browser.evaluate(&format!("document.getElementById('{id}').textContent")).as_str().unwrap().to_owned()
}

/// The numbers in a text such as `1, 2, 3`.
fn numbers(text: &str) -> Vec<f64> {
    text.split(", ").map(|number| number.parse().unwrap()).collect()
}

fn press(browser: &mut Browser, key: &str) {
    for kind in ["keyDown", "keyUp"] {
        browser.call("Input.dispatchKeyEvent", json!({ "type": kind, "key": key, "code": key }));
    }
}

/// Sets an input as a person who moves it.
fn set(browser: &mut Browser, id: &str, value: &str) {
    let set = format!(
        "(() => {{ const e = document.getElementById('{id}'); e.value = {value}; \
         e.dispatchEvent(new Event('input', {{ bubbles: true }})); }})()"
    );
    browser.evaluate(&set);
}

/// A page of the phantom, open in a browser.
fn open(place: &Place) -> Option<Browser> {
    let mut browser = Browser::start()?;
    view(place, "a.html", &[]).success();
    browser.open(&place.path("a.html"));
    resolve_from_volume(&mut browser);
    Some(browser)
}

#[test]
fn the_page_goes_through_slices_planes_windows_and_overlays() {
    let place = place();
    let Some(mut browser) = open(&place) else { return };
    // The page asks for nothing, not even of its own folder.
    let page = fs::read_to_string(place.path("a.html")).unwrap();
    for tag in ["<link", "src=", "@import", "url(", "fetch("] {
        assert!(!page.contains(tag), "{tag}");
    }
    assert_eq!(browser.evaluate("performance.getEntriesByType('resource').length"), json!(0));

    // Whatever is moved changes the picture.
    let mut seen = vec![picture(&mut browser)];
    let mut changed = |browser: &mut Browser, what: &str| {
        let now = picture(browser);
        assert!(!seen.contains(&now), "{what} changes nothing");
        seen.push(now);
    };
    let before = text(&mut browser, "where");
    set(&mut browser, "index", "6");
    changed(&mut browser, "the slider");
    assert!(text(&mut browser, "where").starts_with("7 of 20 · z ") && before != text(&mut browser, "where"));
    browser.evaluate("document.getElementById('slice').focus()");
    press(&mut browser, "ArrowUp");
    changed(&mut browser, "an arrow key");
    assert!(text(&mut browser, "where").starts_with("8 of 20"));
    let (x, y) = browser.middle_of("#slice");
    let wheel = json!({ "type": "mouseWheel", "x": x, "y": y, "deltaX": 0, "deltaY": -100 });
    browser.call("Input.dispatchMouseEvent", wheel);
    changed(&mut browser, "the wheel");
    browser.click("#show-label");
    changed(&mut browser, "the label's box");
    browser.click("#show-prediction");
    changed(&mut browser, "the prediction's box");
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
    changed(&mut browser, "the box of a label");
    assert_eq!(browser.evaluate("window.problems"), json!([]));
}

#[test]
fn the_page_shows_voxels_where_they_lie() {
    let place = place();
    let Some(mut browser) = open(&place) else { return };
    let (grid, image) = read_image(&place.path(IMAGE)).unwrap();
    let (_, label) = read_label(&place.path(LABEL)).unwrap();
    // Millimetres are equal on both sides: 48 x 40 voxels of 7 mm, 20 slices of 14 mm.
    for (plane, expected) in [(1, 336.0 / 280.0), (2, 336.0 / 280.0), (3, 1.0)] {
        press(&mut browser, &plane.to_string());
        assert!((proportion(&mut browser) - expected).abs() < 0.01, "plane {plane}");
    }
    press(&mut browser, "1");
    // The voxel under the pointer is the file's, and the patient's right and front lie to the left and above.
    let (x, y) = browser.middle_of("#slice");
    let mut worlds = Vec::new();
    for (dx, dy) in [(-40.0, -30.0), (40.0, 30.0)] {
        browser.point((x + dx, y + dy), false);
        let voxel = numbers(&text(&mut browser, "voxel"));
        let world = numbers(&text(&mut browser, "world"));
        let stored = offset(grid.shape, std::array::from_fn(|axis| voxel[axis] as usize));
        let value: f32 = text(&mut browser, "value").parse().unwrap();
        assert_eq!(value, image[stored]);
        let name = ["–", "liver", "tumour"][usize::from(label[stored])];
        assert_eq!(text(&mut browser, "its-label"), name);
        let there = grid.affine.apply(std::array::from_fn(|axis| voxel[axis]));
        assert!(there.iter().zip(&world).all(|(a, b)| (a - b).abs() < 0.06), "{there:?} {world:?}");
        worlds.push(world);
    }
    assert!(worlds[0][0] > worlds[1][0] && worlds[0][1] > worlds[1][1], "{worlds:?}");
    // A click is the point that the other planes go through.
    browser.point((x + 40.0, y + 30.0), true);
    press(&mut browser, "3");
    assert!(text(&mut browser, "where").contains(&format!("x {:.1} mm", worlds[1][0])));

    // The table tells voxels and millilitres; a button leads to the slice with the most voxels of the label in either map.
    let liver = label.iter().filter(|label| **label == 1).count();
    let cells = browser
        .evaluate("[...document.querySelectorAll('#labels tbody tr:first-child td.number')].map(c => c.textContent)");
    assert_eq!(cells[0], json!(liver.to_string()));
    assert_eq!(cells[1], json!(format!("{:.0}", liver as f64 * 7.0 * 7.0 * 14.0 / 1000.0)));
    press(&mut browser, "1");
    browser.click("#labels [data-go='1']");
    let (_, prediction) = read_label(&place.path("prediction.nii.gz")).unwrap();
    let has_liver = |place: usize| label[place] == 1 || prediction[place] == 1;
    let in_slice = |z: usize| (0..48 * 40).filter(|row| has_liver(row * 20 + z)).count();
    let fullest = (0..20).max_by_key(|z| (in_slice(*z), std::cmp::Reverse(*z))).unwrap();
    assert!(text(&mut browser, "where").starts_with(&format!("{} of 20", fullest + 1)));
    assert_eq!(browser.evaluate("window.problems"), json!([]));
}

#[test]
fn the_page_fits_narrow_windows_and_is_light_and_dark() {
    let place = place();
    let Some(mut browser) = open(&place) else { return };
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let paper = "getComputedStyle(document.body).backgroundColor";
    let before = browser.evaluate(paper);
    // For a person to look at.
    browser.screenshot(&pictures.join("view_light.png"));
    browser.click("#theme");
    assert_ne!(browser.evaluate(paper), before);
    browser.screenshot(&pictures.join("view_dark.png"));
    let narrow = json!({ "width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": true });
    browser.call("Emulation.setDeviceMetricsOverride", narrow);
    resolve_from_volume(&mut browser);
    assert_eq!(browser.evaluate("document.documentElement.scrollWidth <= 390"), json!(true));
    let canvas = browser.evaluate("document.getElementById('slice').getBoundingClientRect().width");
    assert!(canvas.as_f64().unwrap() > 300.0);
    browser.screenshot(&pictures.join("view_narrow.png"));
    assert_eq!(browser.evaluate("window.problems"), Json::Array(Vec::new()));
}
