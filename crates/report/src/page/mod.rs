//! `report.html`: one self-contained file with sortable, filterable tables and interactive charts.

use maud::{DOCTYPE, Markup, PreEscaped, html};

mod methods;

pub use methods::methods;

use metrics::with_unit;

use crate::appearance::page_head;
use crate::charts::{Chart, Charts, STYLE};
use crate::comparison::{ComparedEpoch, ComparedRun, Group, Subject};
use crate::format::{capitalized, count, estimate_text, p_value};
use crate::tables::{self, TextTable};
use crate::verdict::Verdict;

const PAGE_STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// If there are more pairs, the page shows only those with the best setting; `comparisons.csv` has all.
const MAX_PAIRS: usize = 15;

/// A group with its conclusion and charts.
type Section<'a> = (&'a Group, &'a Verdict, Charts);

/// Returns the text of `report.html`.
pub fn text(title: &str, groups: &[Section], unreadable: &[(String, String)]) -> String {
    let methods = methods(&groups.iter().map(|(group, ..)| *group).collect::<Vec<_>>());
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            (page_head(title, &[STYLE, PAGE_STYLE]))
            body {
                header {
                    h1 { (title) }
                    p.secondary { (contents(groups)) }
                    button #theme type="button" { "Light / dark" }
                }
                @if groups.len() > 1 { (table_of_contents(groups)) }
                @for (index, group) in groups.iter().enumerate() { (section(index, groups.len() > 1, group)) }
                @if !unreadable.is_empty() {
                    section {
                        h2 { "Unreadable run folders" }
                        ul { @for (name, reason) in unreadable { li { code { (name) } ": " (reason) } } }
                    }
                }
                section { h2 { "Methods" } p.methods { (with_code(&methods)) } }
                div #tooltip hidden {}
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    markup.into_string()
}

/// Describes what is compared, as in `4 runs in 1 group`.
fn contents(groups: &[Section]) -> String {
    let number: usize = groups.iter().map(|(group, ..)| group.runs.len()).sum();
    match groups.first() {
        Some((group, ..)) if group.subject == Subject::Predictions => {
            format!("{} of predictions, scored on the same cases", count(group.runs.len(), "folder"))
        }
        Some((group, ..)) if group.subject == Subject::Candidates => {
            format!("{}, scored out of fold on the same cases", count(group.runs.len(), "candidate"))
        }
        _ => format!("{} in {}", count(number, "run"), count(groups.len(), "group")),
    }
}

fn table_of_contents(groups: &[Section]) -> Markup {
    let is_of_runs = groups.iter().any(|(group, ..)| group.subject == Subject::Runs);
    html! {
        nav {
            @if is_of_runs { p { "Not all runs are comparable. Groups of comparable runs:" } }
            ol {
                @for (index, (group, verdict, _)) in groups.iter().enumerate() {
                    li {
                        a href={ "#group-" (index + 1) } { (group.title()) }
                        @if is_of_runs { " – " (count(group.runs.len(), "run")) } @else { ": " (verdict.headline) }
                        @if !group.differences.is_empty() { "; " (group.differences.join("; ")) }
                    }
                }
            }
        }
    }
}

fn section(index: usize, has_several_groups: bool, (group, verdict, charts): &Section) -> Markup {
    let number = index + 1;
    html! {
        section.group #{ "group-" (number) } data-mean=(group.metric.header("mean")) {
            h2 { @if has_several_groups && group.subject == Subject::Runs { "Group " (number) ": " } (group.title()) }
            p.secondary { (group.summary()) }
            @if !group.differences.is_empty() {
                p.warning { "Not comparable with group 1: " (group.differences.join("; ")) "." }
            }
            div.verdict {
                p.headline { (verdict.headline) }
                @if !verdict.sentences.is_empty() { ul { @for sentence in &verdict.sentences { li { (sentence) } } } }
                @for warning in &verdict.warnings { p.warning { (with_code(warning)) } }
            }
            (figures(&charts.intervals))
            @if !group.settings.is_empty() { h3 { (settings_heading(group)) } (plain_table(&tables::settings(group))) }
            @if group.subject == Subject::Runs { h3 { "Runs" } (runs(group)) }
            @if !charts.learning_curves.is_empty() { h3 { "Learning curves" } (tabs(index, &charts.learning_curves)) }
            @if !charts.box_plots.is_empty() { h3 { (capitalized(&group.metric.title)) " per case" } div.side-by-side { (figures(&charts.box_plots)) } }
            @if !charts.parallel_coordinates.is_empty() {
                h3 { "Parallel coordinates" }
                (figures(&charts.parallel_coordinates))
            }
            @if !charts.main_effects.is_empty() {
                h3 { "Main effects" }
                p.secondary {
                    "Mean over all runs with the same value, whatever their other values. Misleading if the other \
                     values are not balanced."
                }
                div.side-by-side { (figures(&charts.main_effects)) }
            }
            @if !group.comparisons.is_empty() { h3 { "Pairwise comparisons" } (pairs(group)) }
        }
    }
}

fn settings_heading(group: &Group) -> &'static str {
    match group.subject {
        Subject::Runs => "Settings",
        Subject::Predictions => "Folders",
        Subject::Candidates => "Candidates",
    }
}

/// Formats the parts of a text between backticks as code.
fn with_code(text: &str) -> Markup {
    html! { @for (index, part) in text.split('`').enumerate() { @if index % 2 == 1 { code { (part) } } @else { (part) } } }
}

fn figures(charts: &[Chart]) -> Markup {
    html! { @for chart in charts { figure style={ "max-width:" (chart.size.0) "px" } { figcaption { (chart.title) } (chart.inline()) } } }
}

/// Shows one chart at a time on the screen, and all of them in print.
fn tabs(group: usize, charts: &[Chart]) -> Markup {
    html! {
        div.tabs {
            div.tab-list role="tablist" {
                @for (index, chart) in charts.iter().enumerate() {
                    button type="button" role="tab" aria-selected=(index == 0) aria-controls={ "tab-" (group) "-" (index) } { (chart.title) }
                }
            }
            @for (index, chart) in charts.iter().enumerate() {
                figure #{ "tab-" (group) "-" (index) } hidden[index > 0] style={ "max-width:" (chart.size.0) "px" } {
                    figcaption { (chart.title) }
                    (chart.inline())
                }
            }
        }
    }
}

/// Returns the table of runs. The script sorts and filters it, and hides filtered-out runs in the charts too.
fn runs(group: &Group) -> Markup {
    let table = tables::runs(group);
    html! {
        p.controls {
            label { "Filter " input.filter type="search" placeholder={ "words, seed=1, " (group.metric.title.to_lowercase()) " mean >= 0.8" } size="36"; }
            span.shown.secondary { (table.rows.len()) " of " (table.rows.len()) " runs" }
        }
        div.scroll {
            table.runs {
                thead { tr { @for name in &table.header { th scope="col" aria-sort="none" { button type="button" { (name) } } } } }
                tbody {
                    @for (index, row) in table.rows.iter().enumerate() {
                        tr data-run=(index) title=(tooltip(group, &group.runs[index])) {
                            @for (column, cell) in row.iter().enumerate() { td class=[number_class(&table, column)] { (cell) } }
                        }
                    }
                }
            }
        }
    }
}

/// Returns the tooltip of a run in the table.
fn tooltip(group: &Group, run: &ComparedRun) -> String {
    let mut parts = vec![run.run.title(), run.run.device.clone(), run.run.start.clone()];
    parts.extend(run.run.reason.clone());
    parts.extend(run.setting.map(|setting| group.settings[setting].name.clone()));
    parts.retain(|part| !part.is_empty());
    parts.join(" · ")
}

fn plain_table(table: &TextTable) -> Markup {
    html! {
        div.scroll {
            table {
                thead { tr { @for name in &table.header { th scope="col" { (name) } } } }
                tbody {
                    @for row in &table.rows {
                        tr { @for (column, cell) in row.iter().enumerate() { td class=[number_class(table, column)] { (cell) } } }
                    }
                }
            }
        }
    }
}

/// Returns the class of right-aligned columns if all cells of a column are numbers.
fn number_class(table: &TextTable, column: usize) -> Option<&'static str> {
    let mut filled = table.rows.iter().map(|row| &row[column]).filter(|cell| !cell.is_empty());
    let is_number = |cell: &String| {
        let cell = cell.trim_start_matches("< ");
        cell.split(' ').next().is_some_and(|word| word.parse::<f64>().is_ok())
    };
    filled.all(is_number).then_some("number")
}

/// Returns the table of pairs: all if there are few, otherwise those with the best setting.
fn pairs(group: &Group) -> Markup {
    let show_all = group.comparisons.len() <= MAX_PAIRS;
    let shown: Vec<_> = group.comparisons.iter().filter(|pair| show_all || pair.a == 0).collect();
    let rows = shown.iter().flat_map(|pair| {
        pair.scores(&group.labels).map(|(name, difference)| {
            let [a, b] = [pair.a, pair.b].map(|setting| group.settings[setting].short_name.clone());
            vec![
                a,
                b,
                name.to_owned(),
                difference.num_cases.to_string(),
                tables::estimate(&group.metric, &group.difference(difference)),
                difference.test.map(|test| p_value(test.p_value)).unwrap_or_default(),
                difference.adjusted_p_value.map(p_value).unwrap_or_default(),
            ]
        })
    });
    let (score, difference) = (group.metric.title.as_str(), with_unit("difference", group.metric.unit));
    let header = [group.setting_noun(), "other", score, "cases", difference.as_str(), "Wilcoxon p", "Holm-adjusted p"];
    let table = TextTable { header: header.map(str::to_owned).to_vec(), rows: rows.collect() };
    html! {
        (plain_table(&table))
        @if shown.len() < group.comparisons.len() {
            p.secondary { (shown.len()) " of " (group.comparisons.len()) " pairs; see comparisons.csv for all." }
        }
        p.secondary { "The difference is that of the first " (group.setting_noun()) " minus the other." }
    }
}

impl Group {
    /// Returns the names of the experiments, at most three; of predictions the metric.
    pub fn title(&self) -> String {
        if self.subject != Subject::Runs {
            return capitalized(&self.metric.axis_name());
        }
        let mut titles: Vec<String> = self.runs.iter().map(|run| run.run.title()).collect();
        titles.sort();
        titles.dedup();
        let more = titles.len().saturating_sub(3);
        titles.truncate(3);
        let names = titles.join(", ");
        if more > 0 { format!("{names} and {more} more") } else { names }
    }

    /// Describes what the runs have in common, and the best score.
    fn summary(&self) -> String {
        let epoch = match self.epoch {
            ComparedEpoch::Best => "best epoch of each run",
            ComparedEpoch::Last => "last scored epoch of each run",
        };
        let labels = if self.labels.is_empty() { "no labels".to_owned() } else { self.labels.join(", ") };
        let title = &self.metric.title;
        let best = self.settings.first();
        let best = best.map(|best| format!("; best mean {title} {}", estimate_text(&self.metric, &best.mean)));
        let epoch = match self.subject {
            Subject::Runs => format!("; {}; {epoch}", self.key.split_description),
            Subject::Predictions | Subject::Candidates => String::new(),
        };
        format!("{title} of {labels}{epoch}{}", best.unwrap_or_default())
    }
}
