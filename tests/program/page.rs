//! The report's page in a real browser; skipped where no Chromium is installed.

use std::path::Path;

use serde_json::json;

use crate::browser::Browser;
use crate::folders::{Made, make_many};
use crate::place::Place;

/// A page over 40 runs in 10 settings, and one run that cannot be compared with them.
fn page(place: &Place) -> std::path::PathBuf {
    make_many(&place.path("runs"), 40, 30);
    Made { name: "apart", cases: 5, ..Made::default() }.write(&place.path("runs"));
    place.runner(&["report", "runs"]).success();
    place.path("runs/report/report.html")
}

/// The cells of a column in the rows that are shown, from the top.
fn column(browser: &mut Browser, column: usize) -> Vec<String> {
    let cells = browser.evaluate(&format!(
        "[...document.querySelectorAll('#group-1 table.runs tbody tr:not(.gone)')].map(row => row.cells[{column}].textContent)"
    ));
    cells.as_array().unwrap().iter().map(|cell| cell.as_str().unwrap().to_owned()).collect()
}

fn heads(browser: &mut Browser) -> Vec<String> {
    let heads =
        browser.evaluate("[...document.querySelectorAll('#group-1 table.runs th')].map(head => head.textContent)");
    heads.as_array().unwrap().iter().map(|head| head.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_page_sorts_filters_points_and_prints() {
    let Some(mut browser) = Browser::start() else { return };
    let place = Place::new();
    let page = page(&place);
    browser.open(&page);

    // Nothing is loaded from anywhere.
    let text = std::fs::read_to_string(&page).unwrap();
    for tag in ["<link", "src=", "@import", "url(", "fetch("] {
        assert!(!text.contains(tag), "{tag}");
    }
    assert_eq!(browser.evaluate("performance.getEntriesByType('resource').length"), json!(0));

    // Sort by Dice, both ways, and by the name.
    let heads = heads(&mut browser);
    let at = |name: &str| heads.iter().position(|head| head == name).unwrap();
    let dice = at("Dice mean");
    let numbers = |cells: Vec<String>| cells.iter().map(|cell| cell.parse().unwrap()).collect::<Vec<f64>>();
    assert!(numbers(column(&mut browser, dice)).is_sorted_by(|a, b| a >= b), "the best stands first");
    let head = |place: usize| format!("#group-1 table.runs th:nth-child({}) button", place + 1);
    browser.click(&head(dice));
    browser.click(&head(dice));
    assert!(numbers(column(&mut browser, dice)).is_sorted());
    assert_eq!(
        browser.evaluate(&format!("document.querySelector('#group-1 th:nth-child({})').ariaSort", dice + 1)),
        json!("ascending")
    );
    browser.click(&head(at("run")));
    assert!(column(&mut browser, at("run")).is_sorted());

    // Filter by a column, then by a word; curves of hidden runs are hidden too.
    browser.click("#group-1 .filter");
    browser.call("Input.insertText", json!({ "text": "seed = 2 dice mean >= 0.5 best epoch!=29" }));
    let shown = column(&mut browser, at("seed"));
    assert!(shown.len() == 10 && shown.iter().all(|seed| seed == "2"), "{shown:?}");
    assert_eq!(browser.evaluate("document.querySelector('#group-1 .shown').textContent"), json!("10 of 40 runs"));
    let curves = "[...document.querySelectorAll('#group-1 .tabs figure:not([hidden]) .curve')].filter(c => getComputedStyle(c).display !== 'none').length";
    assert_eq!(browser.evaluate(curves), json!(10));
    browser.evaluate("(() => { const f = document.querySelector('#group-1 .filter'); f.value = 'foo=3'; f.dispatchEvent(new Event('input')); })()");
    assert_eq!(browser.evaluate("document.querySelector('#group-1 .shown').textContent"), json!("no column foo"));
    browser.evaluate("(() => { const f = document.querySelector('#group-1 .filter'); f.value = 'run_007'; f.dispatchEvent(new Event('input')); })()");
    assert_eq!(column(&mut browser, at("run")), ["run_007"]);
    browser.evaluate("(() => { const f = document.querySelector('#group-1 .filter'); f.value = ''; f.dispatchEvent(new Event('input')); })()");

    // Point at a curve: it is named, with its value there, and its row is lit.
    let (x, y) = browser.middle_of("#group-1 .tabs figure:not([hidden]) svg");
    let end = browser.evaluate(
        "(() => { const c = document.querySelector('#group-1 .tabs figure:not([hidden]) .curve[data-row=\"0\"]'); \
         const p = c.getPointAtLength(c.getTotalLength()).matrixTransform(c.getScreenCTM()); return [p.x, p.y]; })()",
    );
    assert!(x > 0.0 && y > 0.0);
    browser.point((end[0].as_f64().unwrap(), end[1].as_f64().unwrap()), false);
    let tip =
        browser.evaluate("document.getElementById('tip').hidden ? '' : document.getElementById('tip').textContent");
    let tip = tip.as_str().unwrap().to_owned();
    assert!(tip.contains("run_") && tip.contains("epoch 30: 0."), "{tip}");
    assert_eq!(browser.evaluate("document.querySelectorAll('#group-1 tr.lit').length"), json!(1));

    // Another chart.
    browser.click("#group-1 [role=tab]:nth-child(2)");
    assert_eq!(browser.evaluate("document.querySelectorAll('#group-1 .tabs figure:not([hidden])').length"), json!(1));

    // Dark and light.
    let paper = "getComputedStyle(document.body).backgroundColor";
    let before = browser.evaluate(paper);
    browser.click("#theme");
    assert_ne!(browser.evaluate(paper), before);

    // On paper every chart is there, and no control.
    browser.call("Emulation.setEmulatedMedia", json!({ "media": "print" }));
    let hidden = browser.evaluate("[...document.querySelectorAll('.tabs figure')].every(f => f.getBoundingClientRect().height > 0) && getComputedStyle(document.querySelector('.controls')).display");
    assert_eq!(hidden, json!("none"));
    browser.call("Emulation.setEmulatedMedia", json!({ "media": "" }));
    assert_eq!(browser.evaluate("window.problems"), json!([]));

    // For a person to look at.
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR"));
    browser.screenshot(&pictures.join("report_dark.png"));
    browser.click("#theme");
    browser.screenshot(&pictures.join("report_light.png"));
}
