//! A value of each subject that folds depend on: a column of a table, a part of the subject's name, or the labels in its
//! label map.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use regex::Regex;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::SplitError;
use crate::sources::Listing;
use volume::Label;

/// A value of each subject, such as its patient or hospital.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Attribute {
    /// A column of the source's `table`, such as `column: patient`.
    Column(String),
    /// A regular expression that is searched for in the subject's name, such as `pattern: "^patient[0-9]+"`. The value is the
    /// text of its first capture group, or else the whole match.
    Pattern(Pattern),
    /// Which of these labels the subject's label map contains, such as `labels: [tumour]`; an empty list means every label above
    /// 0. The label maps are those of the files, before `preprocess`. They are read once, and the labels that they contain are
    /// kept in the cache. Only for `stratify`.
    Labels(Vec<Label>),
}

/// A regular expression.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

/// The use of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeUse {
    /// Subjects with the same value stay together.
    Groups,
    /// Every fold has the same fractions of the values.
    Stratify,
}

impl AttributeUse {
    /// Returns the key of an experiment.
    pub fn key(self) -> &'static str {
        match self {
            Self::Groups => "groups",
            Self::Stratify => "stratify",
        }
    }
}

impl Attribute {
    /// Returns the value of each subject, by name.
    ///
    /// # Errors
    /// When there is no such column, or a subject has no value.
    pub(super) fn values(
        &self,
        usage: AttributeUse,
        listing: &Listing,
    ) -> Result<BTreeMap<String, String>, SplitError> {
        let column = match self {
            Self::Column(name) => Some(column(name, usage, listing)?),
            Self::Labels(_) if usage == AttributeUse::Groups => return Err(SplitError::LabelsAsGroups),
            Self::Pattern(_) | Self::Labels(_) => None,
        };
        let value = |name: &String| match self {
            Self::Column(_) => column?.get(name).cloned(),
            Self::Pattern(pattern) => pattern.value(name).map(str::to_owned),
            Self::Labels(wanted) => Some(labels_of(listing.contained_labels.get(name)?, wanted)),
        };
        let names = listing.subjects.iter().map(|subject| &subject.name);
        let values: BTreeMap<String, String> =
            names.clone().filter_map(|name| Some((name.clone(), value(name)?))).collect();
        let without: Vec<String> = names.filter(|name| !values.contains_key(*name)).cloned().collect();
        if without.is_empty() {
            return Ok(values);
        }
        Err(SplitError::NoValue { usage, attribute: self.clone(), subjects: without })
    }
}

/// Returns which of the wanted labels a label map contains, such as `labels 1 and 3`.
fn labels_of(contained: &BTreeSet<Label>, wanted: &[Label]) -> String {
    let is_wanted = |label: &&Label| wanted.is_empty() || wanted.contains(label);
    let labels: Vec<String> = contained.iter().filter(is_wanted).map(Label::to_string).collect();
    match labels.len() {
        0 => "none".to_owned(),
        1 => format!("label {}", labels[0]),
        _ => format!("labels {}", labels.join(" and ")),
    }
}

/// Returns the values of a column by subject; letter case does not matter in its name.
fn column<'a>(
    name: &str,
    usage: AttributeUse,
    listing: &'a Listing,
) -> Result<&'a BTreeMap<String, String>, SplitError> {
    let mut matching = listing.columns.iter().filter(|column| column.name.eq_ignore_ascii_case(name.trim()));
    match (matching.next(), matching.next()) {
        (Some(column), None) => Ok(&column.values),
        (Some(_), Some(_)) => Err(SplitError::RepeatedColumn { usage, column: name.to_owned() }),
        (None, _) => {
            let known: BTreeSet<String> = listing.columns.iter().map(|column| column.name.clone()).collect();
            Err(SplitError::NoColumn { usage, column: name.to_owned(), known: known.into_iter().collect() })
        }
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Column(name) => write!(f, "column {name}"),
            Self::Pattern(pattern) => write!(f, "pattern {}", pattern.0),
            Self::Labels(wanted) if wanted.is_empty() => f.write_str("labels"),
            Self::Labels(wanted) => {
                let wanted: Vec<String> = wanted.iter().map(Label::to_string).collect();
                write!(f, "labels {}", wanted.join(", "))
            }
        }
    }
}

impl Pattern {
    /// Returns the first group of the match in a name, or the whole match; `None` if there is none or it is empty.
    fn value<'a>(&self, name: &'a str) -> Option<&'a str> {
        let captures = self.0.captures(name)?;
        let index = usize::from(captures.len() > 1);
        captures.get(index).map(|text| text.as_str()).filter(|text| !text.is_empty())
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let reason = |error: regex::Error| {
            // The last line of a syntax error states it, the others point at its position.
            let text = error.to_string();
            text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
        };
        let regex = Regex::new(&text)
            .map_err(|error| de::Error::custom(format!("`{text}` is not a regular expression: {}", reason(error))))?;
        Ok(Self(regex))
    }
}

impl JsonSchema for Pattern {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Pattern".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::TableColumn;
    use crate::subject::Subject;

    fn listing(names: &[&str], columns: &[(&str, &[&str])]) -> Listing {
        let subject = |name: &&str| Subject { name: (*name).to_owned(), images: Vec::new(), label: None };
        let column = |(name, values): &(&str, &[&str])| TableColumn {
            name: (*name).to_owned(),
            values: names.iter().zip(*values).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        Listing {
            subjects: names.iter().map(subject).collect(),
            columns: columns.iter().map(column).collect(),
            ..Listing::default()
        }
    }

    fn values(attribute: &str, listing: &Listing) -> Result<Vec<String>, String> {
        let attribute: Attribute = serde_json::from_str(attribute).map_err(|error| error.to_string())?;
        let values = attribute.values(AttributeUse::Groups, listing).map_err(|error| error.to_string())?;
        Ok(values.into_values().collect())
    }

    #[test]
    fn a_pattern_is_its_first_group_or_the_whole_match() {
        let listing = listing(&["p01_a", "p02_b"], &[]);
        assert_eq!(values(r#"{"pattern": "^p[0-9]+"}"#, &listing).unwrap(), ["p01", "p02"]);
        assert_eq!(values(r#"{"pattern": "^p([0-9]+)_(.)"}"#, &listing).unwrap(), ["01", "02"]);
        let error = values(r#"{"pattern": "^p01"}"#, &listing).unwrap_err();
        assert_eq!(error, "1 subject has no group: the pattern ^p01 does not match p02_b");
        let error = values(r#"{"pattern": "(x?)"}"#, &listing).unwrap_err();
        assert!(error.contains("p01_a, p02_b"), "{error}");
        let error = values(r#"{"pattern": "p("}"#, &listing).unwrap_err();
        assert!(error.starts_with("`p(` is not a regular expression: unclosed group"), "{error}");
    }

    #[test]
    fn a_column_is_found_in_any_letter_case_and_must_have_a_value_for_each_subject() {
        let table = listing(&["a", "b"], &[("Patient", &["x", "y"]), ("site", &["1"]), ("age", &[]), ("Age", &[])]);
        assert_eq!(values(r#"{"column": "patient"}"#, &table).unwrap(), ["x", "y"]);
        let error = values(r#"{"column": "site"}"#, &table).unwrap_err();
        assert_eq!(error, "1 subject has no group: the column site is empty for b");
        let error = values(r#"{"column": "sex"}"#, &table).unwrap_err();
        assert_eq!(error, "the table has no column sex; its other columns are Age, Patient, age, site");
        let error = values(r#"{"column": "age"}"#, &table).unwrap_err();
        assert_eq!(error, "the table has several columns named age");
        let error = values(r#"{"column": "sex"}"#, &listing(&["a"], &[])).unwrap_err();
        assert_eq!(error, "there is no column sex: the source has no table with other columns");
    }

    #[test]
    fn the_labels_of_a_subject_are_those_of_its_label_map_among_the_wanted_ones() {
        let mut listing = listing(&["a", "b", "c"], &[]);
        listing.contained_labels = [("a", vec![1, 3]), ("b", vec![3, 10]), ("c", vec![1])]
            .into_iter()
            .map(|(name, labels)| (name.to_owned(), labels.into_iter().collect()))
            .collect();
        let values = |wanted: &[Label], listing: &Listing| {
            let values = Attribute::Labels(wanted.to_vec()).values(AttributeUse::Stratify, listing);
            values.map(|values| values.into_values().collect::<Vec<_>>()).map_err(|error| error.to_string())
        };
        assert_eq!(values(&[], &listing).unwrap(), ["labels 1 and 3", "labels 3 and 10", "label 1"]);
        assert_eq!(values(&[10, 3], &listing).unwrap(), ["label 3", "labels 3 and 10", "none"]);
        listing.contained_labels.remove("b");
        let error = values(&[], &listing).unwrap_err();
        assert_eq!(error, "1 subject has no value to stratify by: there is no label map of b");
        let error = self::values(r#"{"labels": []}"#, &listing).unwrap_err();
        assert_eq!(error, "labels are not a group: subjects with the same labels need not belong together");
    }

    #[test]
    fn an_attribute_is_written_as_it_is_read() {
        for text in [r#"{"column":"site"}"#, r#"{"pattern":"^.*_"}"#, r#"{"labels":[2,5]}"#] {
            let attribute: Attribute = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&attribute).unwrap(), text);
        }
    }
}
