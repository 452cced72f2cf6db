//! `report.md`: the tables and sentences of a report, for a paper or a pull request.

use std::fmt::Write as _;

use crate::comparison::{Group, Subject};
use crate::page::methods;
use crate::tables::{self, TextTable};
use crate::verdict::Verdict;

/// Returns the text of `report.md`.
pub fn text(groups: &[(Group, Verdict)], unreadable: &[(String, String)]) -> String {
    let is_of_runs = groups.iter().all(|(group, _)| group.subject == Subject::Runs);
    let mut text = format!("# Comparison of {}\n", if is_of_runs { "runs" } else { "predictions" });
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
    let groups: Vec<&Group> = groups.iter().map(|(group, _)| group).collect();
    let _ = writeln!(text, "\n## Methods\n\n{}", methods(&groups));
    text
}

fn section(text: &mut String, number: Option<usize>, group: &Group, verdict: &Verdict) {
    let number = number.filter(|_| group.subject == Subject::Runs);
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
        let noun = group.setting_noun();
        let _ = writeln!(text, "\nEvery {noun}, with means over cases and 95 % bootstrap confidence intervals:\n");
        table(text, &tables::settings(group));
    }
    if group.subject == Subject::Runs {
        text.push_str("\nAll runs:\n\n");
        table(text, &tables::runs(group));
    }
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
