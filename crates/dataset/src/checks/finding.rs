//! Findings and their report: one line for each finding, in a fixed order; many of one kind are shortened to the first few.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Training would fail, or its result would be wrong.
    Fault,
    /// It looks suspicious and should be inspected.
    Note,
}

/// A fault, or something suspicious.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What findings of its kind have in common, as a heading, such as `label maps that cannot be read`.
    pub kind: &'static str,
    /// The subject concerned; none if several are.
    pub subject: Option<String>,
    /// What is wrong and, if known, how to fix it.
    pub text: String,
}

impl Finding {
    /// Returns a fault of one subject.
    pub(super) fn fault(kind: &'static str, subject: &str, text: impl Into<String>) -> Self {
        Self { severity: Severity::Fault, kind, subject: Some(subject.to_owned()), text: text.into() }
    }

    /// Returns a note about one subject.
    pub(super) fn note(kind: &'static str, subject: &str, text: impl Into<String>) -> Self {
        Self { severity: Severity::Note, ..Self::fault(kind, subject, text) }
    }

    /// Returns a finding about several subjects.
    pub(super) fn shared(severity: Severity, kind: &'static str, text: impl Into<String>) -> Self {
        Self { severity, kind, subject: None, text: text.into() }
    }

    /// Returns the subject and what is wrong.
    fn statement(&self) -> String {
        let subject = self.subject.as_ref().map(|subject| format!("{subject}: ")).unwrap_or_default();
        subject + &self.text
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Fault => "fault",
            Self::Note => "note",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {}", self.severity, self.statement())
    }
}

/// Number of findings of a kind up to which each has its line.
const MAX_LINES: usize = 5;
/// Number of findings of a larger kind that are shown as examples.
const NUM_EXAMPLES: usize = 3;
/// Maximum number of other subjects that are listed by name.
const MAX_NAMES: usize = 20;

/// All findings of a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// Number of subjects that were read.
    pub num_subjects: usize,
    /// Findings by subject, faults first; then those about several subjects.
    pub findings: Vec<Finding>,
}

impl CheckReport {
    /// Sorts the findings.
    pub(super) fn new(num_subjects: usize, mut findings: Vec<Finding>) -> Self {
        let key = |finding: &Finding| (finding.subject.is_none(), finding.subject.clone(), finding.severity);
        findings.sort_by_cached_key(key);
        Self { num_subjects, findings }
    }

    /// Returns the number of findings of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}

/// Writes a line for each finding, or of many of one kind a heading and the first few, and a last line with their numbers.
impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut kinds: BTreeMap<(Severity, &str), Vec<&Finding>> = BTreeMap::new();
        for finding in &self.findings {
            kinds.entry((finding.severity, finding.kind)).or_default().push(finding);
        }
        for finding in &self.findings {
            let same_kind = &kinds[&(finding.severity, finding.kind)];
            if same_kind.len() <= MAX_LINES {
                writeln!(f, "{finding}")?;
            } else if std::ptr::eq(same_kind[0], finding) {
                write_shortened(f, same_kind)?;
            }
        }
        let counted = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
        let subjects = counted(self.num_subjects, "subject");
        let [faults, notes] = [(Severity::Fault, "fault"), (Severity::Note, "note")]
            .map(|(severity, noun)| counted(self.count(severity), noun));
        writeln!(f, "{:<18}{subjects} read, {faults}, {notes}", "data")
    }
}

/// Writes a heading, the first of many findings of one kind, and the subjects of the others.
fn write_shortened(f: &mut fmt::Formatter, findings: &[&Finding]) -> fmt::Result {
    let (examples, others) = findings.split_at(NUM_EXAMPLES);
    writeln!(f, "{}: {} {}", findings[0].severity, findings.len(), findings[0].kind)?;
    examples.iter().try_for_each(|finding| writeln!(f, "  {}", finding.statement()))?;
    let subjects: BTreeSet<&str> = others.iter().filter_map(|finding| finding.subject.as_deref()).collect();
    let names: Vec<&str> = subjects.iter().take(MAX_NAMES).copied().collect();
    let ellipsis = if subjects.len() > MAX_NAMES { ", …" } else { "" };
    let listed = if names.is_empty() { String::new() } else { format!(": {}{ellipsis}", names.join(", ")) };
    writeln!(f, "  and {} more{listed}", others.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_findings_of_one_kind_are_shortened_to_the_first_few() {
        let label = |index| Finding::fault("undeclared labels", &format!("s{index:02}"), format!("label {index}"));
        let mut findings: Vec<Finding> = (0..30).map(label).collect();
        findings.push(Finding::note("other", "s01", "dark"));
        let text = CheckReport::new(30, findings).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..4], ["fault: 30 undeclared labels", "  s00: label 0", "  s01: label 1", "  s02: label 2"]);
        assert!(lines[4].starts_with("  and 27 more: s03, s04, ") && lines[4].ends_with("s22, …"), "{text}");
        assert_eq!(lines[5..], ["note: s01: dark", "data              30 subjects read, 30 faults, 1 note"]);
        let few = CheckReport::new(5, (0..5).map(label).collect()).to_string();
        assert_eq!(few.lines().count(), 6);
    }

    #[test]
    fn findings_are_sorted_by_subject_and_faults_come_before_notes() {
        let findings = vec![
            Finding::shared(Severity::Note, "shared", "c"),
            Finding::note("spacing", "b", "thick"),
            Finding::fault("damage", "b", "torn"),
            Finding::note("intensity", "a", "dark"),
        ];
        let text = CheckReport::new(2, findings).to_string();
        assert_eq!(
            text,
            "note: a: dark\nfault: b: torn\nnote: b: thick\nnote: c\ndata              2 subjects read, 1 fault, 3 notes\n"
        );
    }
}
