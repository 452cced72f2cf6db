//! `report.md`: the tables and sentences of a report, for a paper or a pull request.

use std::fmt::Write as _;

use crate::comparison::Group;
use crate::page::METHODS;
use crate::tables::{self, TextTable};
use crate::verdict::Verdict;

/// Returns the text of `report.md`.
pub fn text(groups: &[(Group, Verdict)], unreadable: &[(String, String)]) -> String {
    let mut text = "# Comparison of runs\n".to_owned();
    for (index, (group, verdict)) in groups.iter().enumerate() {
        let number = (groups.len() > 1).then_some(index + 1);
        section(&mut text, number, group, verdict);
    }
    if !unreadable.is_empty() {
        text.push_str("\n## Unreadable run folders\n\n");
        for (name, reason) in unreadable {
            let _ = writeln!(text, "- `{name}`: {reason}");
        }
    }
    let _ = writeln!(text, "\n## Methods\n\n{METHODS}");
    text
}

fn section(text: &mut String, number: Option<usize>, group: &Group, verdict: &Verdict) {
    let number = number.map(|number| format!("Group {number}: ")).unwrap_or_default();
    let _ = writeln!(text, "\n## {number}{}\n", plain(&group.title()));
    if !group.differences.is_empty() {
        let _ = writeln!(text, "Not comparable with group 1: {}.\n", plain(&group.differences.join("; ")));
    }
    let _ = writeln!(text, "**{}**\n", plain(&verdict.headline));
    for sentence in &verdict.sentences {
        let _ = writeln!(text, "- {}", plain(sentence));
    }
    for warning in &verdict.warnings {
        let _ = writeln!(text, "- Note: {}", plain(warning));
    }
    if !group.settings.is_empty() {
        text.push_str("\nSettings, with means over cases and 95 % bootstrap confidence intervals:\n\n");
        table(text, &tables::settings(group));
    }
    text.push_str("\nAll runs:\n\n");
    table(text, &tables::runs(group));
}

fn table(text: &mut String, table: &TextTable) {
    let row = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| plain(cell).replace('|', "\\|")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    text.push_str(&row(&table.header));
    text.push_str(&row(&vec!["---".to_owned(); table.header.len()]));
    table.rows.iter().for_each(|cells| text.push_str(&row(cells)));
}

/// Escapes `<` and puts a text on one line.
fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('<', "&lt;")
}
