//! `report.html`: one file that needs no network, with tables to sort and filter and curves to point at.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::appearance::page_head;
use crate::charts::{Chart, Charts, STYLE};
use crate::comparison::{ComparedEpoch, ComparedRun, Group};
use crate::tables::{self, TextTable};
use crate::verdict::{Verdict, count, with_interval};

const PAGE_STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Of more pairs than this the page shows those of the best setting; `comparisons.csv` has all.
const PAIRS: usize = 15;

/// How the numbers came about.
pub const METHODS: &str = "Runs are compared where labels, metric convention, data and split agree; others are set \
    apart. Runs that differ in nothing but seed and fold are one setting. `at 0` is the share of a label's scores, over \
    cases and runs, that are 0: all of it was missed, or it was found where it is not. The score of a case is its mean over the \
    setting's runs, the Dice of a label the mean over cases with a defined score, the mean Dice the mean over labels. \
    Intervals are 95 % percentile bootstrap intervals over cases (5000 draws). Settings are compared case by case on \
    the sets of cases that both validated on, with Wilcoxon's signed-rank test (two-sided, zeros left out, exact up \
    to 50 cases, then the normal approximation), and Holm's correction for all pairs of settings, for each score by \
    itself. Seed-to-seed noise is the pooled standard deviation of the mean Dice between runs of a setting on the \
    same cases; where each seed has cases of its own, what is left after settings and cases are taken out. A lead \
    counts as beyond chance when its corrected p is below 0.05, it is larger than Student's 95 % bound of what \
    seeds alone explain (with Bonferroni's correction for all pairs), none of the setting's runs is missing, and the ranks of the cases speak for it too. Bootstrap draws that miss all \
    scores of a label are left out, and a label with one score has no interval.";

/// A group, what follows from it, and its charts.
type Section<'a> = (&'a Group, &'a Verdict, Charts);

/// The whole page.
pub fn text(title: &str, groups: &[Section], unreadable: &[(String, String)]) -> String {
    let num_runs: usize = groups.iter().map(|(group, ..)| group.rows.len()).sum();
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            (page_head(title, &[STYLE, PAGE_STYLE]))
            body {
                header {
                    h1 { (title) }
                    p.quiet { (count(num_runs, "run")) " in " (count(groups.len(), "group")) }
                    button #theme type="button" { "Light / dark" }
                }
                @if groups.len() > 1 { (contents(groups)) }
                @for (number, group) in groups.iter().enumerate() { (section(number, groups.len() > 1, group)) }
                @if !unreadable.is_empty() {
                    section {
                        h2 { "Folders that cannot be read" }
                        ul { @for (name, reason) in unreadable { li { code { (name) } ": " (reason) } } }
                    }
                }
                section { h2 { "Methods" } p.methods { (with_code(METHODS)) } }
                div #tip hidden {}
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    markup.into_string()
}

fn contents(groups: &[Section]) -> Markup {
    html! {
        nav {
            p { "These runs cannot all be compared with each other:" }
            ol {
                @for (number, (group, ..)) in groups.iter().enumerate() {
                    li {
                        a href={ "#group-" (number + 1) } { (group.title()) }
                        " – " (count(group.rows.len(), "run"))
                        @if !group.differences.is_empty() { "; " (group.differences.join("; ")) }
                    }
                }
            }
        }
    }
}

fn section(number: usize, several: bool, (group, verdict, charts): &Section) -> Markup {
    html! {
        section.group #{ "group-" (number + 1) } {
            h2 { @if several { "Group " (number + 1) ": " } (group.title()) }
            p.quiet { (group.comparability_text()) }
            @if !group.differences.is_empty() { p.differences { "Set apart from the first group: " (group.differences.join("; ")) "." } }
            div.verdict {
                p.headline { (verdict.headline) }
                @if !verdict.sentences.is_empty() { ul { @for sentence in &verdict.sentences { li { (sentence) } } } }
                @for warning in &verdict.warnings { p.warning { (with_code(warning)) } }
            }
            (figures(&charts.intervals))
            @if !group.settings.is_empty() { h3 { "Settings" } (plain_table(&tables::settings(group))) }
            h3 { "Runs" }
            (runs(group))
            @if !charts.curves.is_empty() { h3 { "Curves" } (tabs(number, &charts.curves)) }
            @if !charts.boxes.is_empty() { h3 { "Cases" } div.side { (figures(&charts.boxes)) } }
            @if !charts.parallel.is_empty() { h3 { "Keys together" } (figures(&charts.parallel)) }
            @if !charts.effects.is_empty() {
                h3 { "Keys one by one" }
                p.quiet { "The mean over all runs with a value, whatever their other values; in an unbalanced set of runs these can mislead." }
                div.side { (figures(&charts.effects)) }
            }
            @if !group.comparisons.is_empty() { h3 { "Pairs of settings" } (pairs(group)) }
        }
    }
}

/// What stands between backticks is code.
fn with_code(text: &str) -> Markup {
    html! { @for (place, part) in text.split('`').enumerate() { @if place % 2 == 1 { code { (part) } } @else { (part) } } }
}

fn figures(charts: &[Chart]) -> Markup {
    html! { @for chart in charts { figure style={ "max-width:" (chart.size.0) "px" } { figcaption { (chart.title) } (chart.inline()) } } }
}

/// Charts of which one is shown; on paper all are.
fn tabs(number: usize, charts: &[Chart]) -> Markup {
    html! {
        div.tabs {
            div.choose role="tablist" {
                @for (place, chart) in charts.iter().enumerate() {
                    button type="button" role="tab" aria-selected=(place == 0) aria-controls={ "tab-" (number) "-" (place) } { (chart.title) }
                }
            }
            @for (place, chart) in charts.iter().enumerate() {
                figure #{ "tab-" (number) "-" (place) } hidden[place > 0] style={ "max-width:" (chart.size.0) "px" } {
                    figcaption { (chart.title) }
                    (chart.inline())
                }
            }
        }
    }
}

/// The table of runs; a script sorts and filters it, and what it hides is hidden in the charts.
fn runs(group: &Group) -> Markup {
    let cells = tables::runs(group);
    html! {
        p.controls {
            label { "Filter " input.filter type="search" placeholder="words, seed=1, dice mean >= 0.8" size="36"; }
            span.shown.quiet { (cells.rows.len()) " of " (cells.rows.len()) " runs" }
        }
        div.wide {
            table.runs {
                thead { tr { @for name in &cells.header { th scope="col" aria-sort="none" { button type="button" { (name) } } } } }
                tbody {
                    @for (place, row) in cells.rows.iter().enumerate() {
                        tr data-row=(place) title=(hint(group, &group.rows[place])) {
                            @for (column, cell) in row.iter().enumerate() { td class=[number_class(&cells, column)] { (cell) } }
                        }
                    }
                }
            }
        }
    }
}

/// What a row says when it is pointed at.
fn hint(group: &Group, row: &ComparedRun) -> String {
    let mut words = vec![row.run.title(), row.run.device.clone(), row.run.start.clone()];
    words.extend(row.run.reason.clone());
    words.extend(row.setting.map(|setting| group.settings[setting].name.clone()));
    words.retain(|word| !word.is_empty());
    words.join(" · ")
}

fn plain_table(cells: &TextTable) -> Markup {
    html! {
        div.wide {
            table {
                thead { tr { @for name in &cells.header { th scope="col" { (name) } } } }
                tbody {
                    @for row in &cells.rows {
                        tr { @for (column, cell) in row.iter().enumerate() { td class=[number_class(cells, column)] { (cell) } } }
                    }
                }
            }
        }
    }
}

/// Columns of numbers stand to the right.
fn number_class(cells: &TextTable, column: usize) -> Option<&'static str> {
    let mut filled = cells.rows.iter().map(|row| &row[column]).filter(|cell| !cell.is_empty());
    let is_number = |cell: &String| {
        let cell = cell.trim_start_matches("< ");
        cell.split(' ').next().is_some_and(|word| word.parse::<f64>().is_ok())
    };
    filled.all(is_number).then_some("number")
}

/// How far the best is ahead of each other setting; of few settings every pair.
fn pairs(group: &Group) -> Markup {
    let all = group.comparisons.len() <= PAIRS;
    let shown: Vec<_> = group.comparisons.iter().filter(|pair| all || pair.a == 0).collect();
    let p = |p: Option<f64>| match p {
        Some(p) if p < 0.0001 => "< 0.0001".to_owned(),
        Some(p) => format!("{p:.4}"),
        None => String::new(),
    };
    let rows = shown.iter().flat_map(|pair| {
        pair.scores(&group.labels).map(|(name, difference)| {
            let [a, b] = [pair.a, pair.b].map(|place| group.settings[place].short.clone());
            let test = difference.test.map(|test| test.p);
            let score = name.to_owned();
            vec![
                a,
                b,
                score,
                difference.cases.to_string(),
                tables::estimate(&difference.estimate),
                p(test),
                p(difference.corrected),
            ]
        })
    });
    let header = ["setting", "other", "score", "cases", "ahead by", "Wilcoxon p", "after Holm"];
    let cells = TextTable { header: header.map(str::to_owned).to_vec(), rows: rows.collect() };
    html! {
        (plain_table(&cells))
        @if shown.len() < group.comparisons.len() {
            p.quiet { (shown.len()) " of " (group.comparisons.len()) " pairs; comparisons.csv has all." }
        }
    }
}

impl Group {
    /// The experiments' name, where they share one, or what the group is about.
    pub fn title(&self) -> String {
        let mut titles: Vec<String> = self.rows.iter().map(|row| row.run.title()).collect();
        titles.sort();
        titles.dedup();
        let more = titles.len().saturating_sub(3);
        titles.truncate(3);
        let names = titles.join(", ");
        if more > 0 { format!("{names} and {more} more") } else { names }
    }

    /// What its runs have in common.
    pub fn comparability_text(&self) -> String {
        let epoch = match self.epoch {
            ComparedEpoch::Best => "the best epoch of each run",
            ComparedEpoch::Last => "the last scored epoch of each run",
        };
        let labels = if self.labels.is_empty() { "no labels".to_owned() } else { self.labels.join(", ") };
        let best = self.settings.first().map(|best| format!("; best mean Dice {}", with_interval(&best.mean)));
        format!("Dice of {labels}; {}; {epoch}{}", self.comparability.split_words, best.unwrap_or_default())
    }
}
