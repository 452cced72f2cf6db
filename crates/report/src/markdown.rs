//! `report.md`: tables and sentences for a paper or a pull request.

use std::fmt::Write as _;

use super::page::METHODS;
use super::tables::{self, TextTable};
use super::verdict::Verdict;
use crate::comparison::Group;

/// The whole text.
pub fn text(groups: &[(Group, Verdict)], unreadable: &[(String, String)]) -> String {
    let mut text = "# Comparison of runs\n".to_owned();
    for (number, (group, verdict)) in groups.iter().enumerate() {
        let number = (groups.len() > 1).then_some(number + 1);
        section(&mut text, number, group, verdict);
    }
    if !unreadable.is_empty() {
        text.push_str("\n## Folders that cannot be read\n\n");
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
        let _ = writeln!(text, "Set apart: {}.\n", plain(&group.differences.join("; ")));
    }
    let _ = writeln!(text, "**{}**\n", plain(&verdict.headline));
    for sentence in &verdict.sentences {
        let _ = writeln!(text, "- {}", plain(sentence));
    }
    for warning in &verdict.warnings {
        let _ = writeln!(text, "- Note: {}", plain(warning));
    }
    if !group.settings.is_empty() {
        text.push_str("\nMeans over cases with 95 % bootstrap intervals:\n\n");
        table(text, &tables::settings(group));
    }
    text.push_str("\nEvery run:\n\n");
    table(text, &tables::runs(group));
}

fn table(text: &mut String, cells: &TextTable) {
    let row = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| plain(cell).replace('|', "\\|")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    text.push_str(&row(&cells.header));
    text.push_str(&row(&vec!["---".to_owned(); cells.header.len()]));
    cells.rows.iter().for_each(|cells| text.push_str(&row(cells)));
}

/// A text that is no markup and stays in its line.
fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('<', "&lt;")
}
