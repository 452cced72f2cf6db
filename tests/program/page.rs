//! The report page in a real browser; skipped without Chromium.

use std::path::Path;

use serde_json::json;

use crate::browser::Browser;
use crate::folders::{RunFixture, make_many};
use crate::test_dir::TestDir;

/// A report of 40 runs in 10 settings, and one run that is not comparable with them.
fn page(dir: &TestDir) -> std::path::PathBuf {
    make_many(&dir.path("runs"), 40, 30);
    RunFixture { name: "other", cases: 5, ..RunFixture::default() }.write(&dir.path("runs"));
    dir.runner(&["report", "runs"]).success();
    dir.path("runs/report/report.html")
}

/// Returns the cells of a column in the visible rows, from the top.
fn column(browser: &mut Browser, column: usize) -> Vec<String> {
    let cells = browser.evaluate(&format!(
        "[...document.querySelectorAll('#group-1 table.runs tbody tr:not(.filtered-out)')].map(row => row.cells[{column}].textContent)"
    ));
    cells.as_array().unwrap().iter().map(|cell| cell.as_str().unwrap().to_owned()).collect()
}

fn headers(browser: &mut Browser) -> Vec<String> {
    let headers =
        browser.evaluate("[...document.querySelectorAll('#group-1 table.runs th')].map(header => header.textContent)");
    headers.as_array().unwrap().iter().map(|header| header.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_report_page_sorts_filters_highlights_and_prints() {
    let Some(mut browser) = Browser::start() else { return };
    let dir = TestDir::new();
    let page = page(&dir);
    browser.open(&page);

    // Nothing is loaded from the network.
    let text = std::fs::read_to_string(&page).unwrap();
    for tag in ["<link", "src=", "@import", "url(", "fetch("] {
        assert!(!text.contains(tag), "{tag}");
    }
    assert_eq!(browser.evaluate("performance.getEntriesByType('resource').length"), json!(0));

    // Sort by Dice in both directions, and by name.
    let headers = headers(&mut browser);
    let at = |name: &str| headers.iter().position(|header| header == name).unwrap();
    let dice = at("Dice mean");
    let numbers = |cells: Vec<String>| cells.iter().map(|cell| cell.parse().unwrap()).collect::<Vec<f64>>();
    assert!(numbers(column(&mut browser, dice)).is_sorted_by(|a, b| a >= b), "the best run is first");
    let button = |column: usize| format!("#group-1 table.runs th:nth-child({}) button", column + 1);
    browser.click(&button(dice));
    browser.click(&button(dice));
    assert!(numbers(column(&mut browser, dice)).is_sorted());
    assert_eq!(
        browser.evaluate(&format!("document.querySelector('#group-1 th:nth-child({})').ariaSort", dice + 1)),
        json!("ascending")
    );
    browser.click(&button(at("run")));
    assert!(column(&mut browser, at("run")).is_sorted());

    // Filter by columns, then by a word. The curves of filtered-out runs are hidden too.
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

    // Point at a curve: the tooltip shows its run and value, and its row is highlighted.
    let (x, y) = browser.centre_of("#group-1 .tabs figure:not([hidden]) svg");
    let end = browser.evaluate(
        "(() => { const c = document.querySelector('#group-1 .tabs figure:not([hidden]) .curve[data-run=\"0\"]'); \
         const p = c.getPointAtLength(c.getTotalLength()).matrixTransform(c.getScreenCTM()); return [p.x, p.y]; })()",
    );
    assert!(x > 0.0 && y > 0.0);
    browser.point((end[0].as_f64().unwrap(), end[1].as_f64().unwrap()), false);
    let tooltip = browser
        .evaluate("document.getElementById('tooltip').hidden ? '' : document.getElementById('tooltip').textContent");
    let tooltip = tooltip.as_str().unwrap().to_owned();
    assert!(tooltip.contains("run_") && tooltip.contains("epoch 30: 0."), "{tooltip}");
    assert_eq!(browser.evaluate("document.querySelectorAll('#group-1 tr.highlighted').length"), json!(1));

    // Show another chart.
    browser.click("#group-1 [role=tab]:nth-child(2)");
    assert_eq!(browser.evaluate("document.querySelectorAll('#group-1 .tabs figure:not([hidden])').length"), json!(1));

    // Switch between light and dark.
    let background = "getComputedStyle(document.body).backgroundColor";
    let before = browser.evaluate(background);
    browser.click("#theme");
    assert_ne!(browser.evaluate(background), before);

    // In print, all charts are visible and the controls hidden.
    browser.call("Emulation.setEmulatedMedia", json!({ "media": "print" }));
    let hidden = browser.evaluate("[...document.querySelectorAll('.tabs figure')].every(f => f.getBoundingClientRect().height > 0) && getComputedStyle(document.querySelector('.controls')).display");
    assert_eq!(hidden, json!("none"));
    browser.call("Emulation.setEmulatedMedia", json!({ "media": "" }));
    assert_eq!(browser.evaluate("window.problems"), json!([]));

    // Screenshots for visual inspection.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    browser.screenshot(&folder.join("report_dark.png"));
    browser.click("#theme");
    browser.screenshot(&folder.join("report_light.png"));
}
