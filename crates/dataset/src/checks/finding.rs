//! What the doctor tells: one line for each finding, in a fixed order.

use std::fmt;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Training would fail, or its result would be wrong.
    Fault,
    /// It looks wrong; somebody should look at it.
    Note,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The subject that it is about; none where it is about several.
    pub subject: Option<String>,
    /// What was found and, where we know one, a way out.
    pub text: String,
}

impl Finding {
    /// A fault of one subject.
    pub(super) fn fault(subject: &str, text: impl Into<String>) -> Self {
        Self { severity: Severity::Fault, subject: Some(subject.to_owned()), text: text.into() }
    }

    /// Something suspicious about one subject.
    pub(super) fn note(subject: &str, text: impl Into<String>) -> Self {
        Self { severity: Severity::Note, ..Self::fault(subject, text) }
    }

    /// A finding about several subjects.
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

/// All that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Subjects that were looked at.
    pub num_subjects: usize,
    /// Subject by subject, faults first; then what is about several subjects.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Puts findings in order.
    pub(super) fn new(num_subjects: usize, mut findings: Vec<Finding>) -> Self {
        let place = |finding: &Finding| (finding.subject.is_none(), finding.subject.clone(), finding.severity);
        findings.sort_by_cached_key(place);
        Self { num_subjects, findings }
    }

    /// How many findings there are of a kind.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}

/// A line for each finding, and a last one that counts them.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.findings.iter().try_for_each(|finding| writeln!(f, "{finding}"))?;
        let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let subjects = counted(self.num_subjects, "subject");
        let [faults, notes] =
            [(Severity::Fault, "fault"), (Severity::Note, "note")].map(|(kind, what)| counted(self.count(kind), what));
        writeln!(f, "{:<18}{subjects} read, {faults}, {notes}", "data")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_come_in_order_and_faults_before_notes() {
        let findings = vec![
            Finding::shared(Severity::Note, "c"),
            Finding::note("b", "thick"),
            Finding::fault("b", "torn"),
            Finding::note("a", "dark"),
        ];
        let text = Report::new(2, findings).to_string();
        assert_eq!(
            text,
            "note: a: dark\nfault: b: torn\nnote: b: thick\nnote: c\ndata              2 subjects read, 1 fault, 3 notes\n"
        );
    }
}
