//! Findings and their report: one line for each finding, in a fixed order.

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
    /// The subject concerned; none if several are.
    pub subject: Option<String>,
    /// What is wrong and, if known, how to fix it.
    pub text: String,
}

impl Finding {
    /// Returns a fault of one subject.
    pub(super) fn fault(subject: &str, text: impl Into<String>) -> Self {
        Self { severity: Severity::Fault, subject: Some(subject.to_owned()), text: text.into() }
    }

    /// Returns a note about one subject.
    pub(super) fn note(subject: &str, text: impl Into<String>) -> Self {
        Self { severity: Severity::Note, ..Self::fault(subject, text) }
    }

    /// Returns a finding about several subjects.
    pub(super) fn shared(severity: Severity, text: impl Into<String>) -> Self {
        Self { severity, subject: None, text: text.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self.severity {
            Severity::Fault => "fault: ",
            Severity::Note => "note: ",
        })?;
        if let Some(subject) = &self.subject {
            write!(f, "{subject}: ")?;
        }
        f.write_str(&self.text)
    }
}

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

/// Writes a line for each finding, and a last one with their numbers.
impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.findings.iter().try_for_each(|finding| writeln!(f, "{finding}"))?;
        let counted = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
        let subjects = counted(self.num_subjects, "subject");
        let [faults, notes] = [(Severity::Fault, "fault"), (Severity::Note, "note")]
            .map(|(severity, noun)| counted(self.count(severity), noun));
        writeln!(f, "{:<18}{subjects} read, {faults}, {notes}", "data")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_sorted_by_subject_and_faults_come_before_notes() {
        let findings = vec![
            Finding::shared(Severity::Note, "c"),
            Finding::note("b", "thick"),
            Finding::fault("b", "torn"),
            Finding::note("a", "dark"),
        ];
        let text = CheckReport::new(2, findings).to_string();
        assert_eq!(
            text,
            "note: a: dark\nfault: b: torn\nnote: b: thick\nnote: c\ndata              2 subjects read, 1 fault, 3 notes\n"
        );
    }
}
