//! Parts of the reference as plain text for a terminal.

use super::section::{Key, Manual, Section, Topic};
use crate::experiment::keys::join;

impl Manual {
    /// Returns the text about a topic: a key, or a section with the names of the sections below it.
    pub fn explain(&self, topic: Topic) -> String {
        match topic {
            Topic::Key(section, key) => entry(&join(&section.path, &key.name), key),
            Topic::Section(section) => self.section(section),
        }
    }

    /// Returns a list of topics of which one must be named by its path.
    pub fn list(&self, name: &str, topics: &[(String, Topic)]) -> String {
        let width = topics.iter().map(|(path, _)| path.len()).max().unwrap_or(0);
        let line = |(path, topic): &(String, Topic)| {
            let text = match topic {
                Topic::Key(_, key) => &key.text,
                Topic::Section(section) if section.path == *path => &section.text,
                // A component without keys is described in the section of its choice.
                Topic::Section(section) => {
                    let component = section.components.iter().find(|(own, _)| join(&section.path, own) == *path);
                    component.map_or(&section.text, |(_, text)| text)
                }
            };
            format!("  {path:<width$}  {}\n", first_sentence(text))
        };
        let lines: String = topics.iter().map(line).collect();
        let example = topics.first().map(|(path, _)| path.as_str()).unwrap_or_default();
        format!(
            "`{name}` occurs in {} places:\n{lines}\n`runner explain PATH` describes one of them, for example \
             `runner explain {example}`.\n",
            topics.len()
        )
    }

    /// Returns an overview of the sections.
    pub fn overview(&self) -> String {
        let top = self.sections.iter().filter(|section| section.depth == 1);
        let line = |section: &Section| format!("  {:<14}{}\n", section.path, first_sentence(&section.text));
        let own = self.sections.first().map(|section| section.keys.as_slice()).unwrap_or_default();
        let is_section = |key: &&Key| self.sections.iter().any(|section| section.path == key.name);
        let scalars = own.iter().filter(|key| !is_section(key));
        let lines =
            scalars.map(|key| format!("  {:<14}{}\n", key.name, first_sentence(&key.text))).chain(top.map(line));
        format!("{}\n`runner explain KEY` describes one of them, or any key below it.\n", lines.collect::<String>())
    }

    fn section(&self, section: &Section) -> String {
        let mut text = format!("{}\n", section.path);
        if !section.text.is_empty() {
            text.push_str(&format!("  {}\n", section.text.replace("\n\n", "\n  ")));
        }
        if let Some(example) = &section.example {
            text.push_str(&format!("\n{}\n", indented(example)));
        }
        for key in &section.keys {
            text.push_str(&format!("\n{}", entry(&join(&section.path, &key.name), key)));
        }
        if !section.components.is_empty() {
            text.push_str("\n  one of:\n");
            for (name, description) in &section.components {
                text.push_str(&format!("  {name:<26}{}\n", first_sentence(description)));
            }
        }
        text
    }
}

fn entry(path: &str, key: &Key) -> String {
    let default = key.default.as_ref().map_or_else(|| "required".to_owned(), |default| format!("default {default}"));
    let words: String = key.words.iter().map(|(word, text)| format!("    {word}: {text}\n")).collect();
    format!("{path}\n  {}; {default}\n  {}\n{words}", key.value.replace('`', ""), key.text.replace("\n\n", "\n  "))
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

fn first_sentence(text: &str) -> &str {
    text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use crate::experiment::manual::Manual;

    fn explained(path: &str) -> String {
        let manual = Manual::experiment();
        manual.explain(manual.find(path).unwrap()[0].1)
    }

    #[test]
    fn a_section_lists_its_keys_with_values_and_defaults() {
        let text = explained("sampler.label");
        for line in [
            "sampler.label\n",
            "    label: { patch: [96, 96, 96], probabilities: { 0: 0.2, 1: 0.3, 2: 0.5 } }\n",
            "sampler.label.patch\n  whole number from 1 to 65535, or 3 of them; required\n",
            "sampler.label.probabilities\n  map from labels to numbers ≥ 0, or null; default null\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn a_key_has_the_meanings_of_its_words() {
        let text = explained("inference.blend");
        assert!(text.starts_with("inference.blend\n  constant, gaussian, crop or hann; default gaussian\n"), "{text}");
        assert!(text.contains("    constant: Equal weights: the mean.\n"), "{text}");
    }

    #[test]
    fn a_name_that_stands_in_several_places_is_listed_with_their_paths() {
        let manual = Manual::experiment();
        let text = manual.list("epochs", &manual.find("epochs").unwrap());
        assert!(text.starts_with("`epochs` occurs in 2 places:\n  train.epochs         "), "{text}");
        assert!(text.contains("\n  train.freeze.epochs  ") && text.contains("`runner explain train.epochs`"), "{text}");
    }

    #[test]
    fn the_overview_has_every_section() {
        let text = Manual::experiment().overview();
        for name in ["seed", "data", "augment", "optimizer", "checkpoint"] {
            assert!(text.lines().any(|line| line.trim_start().starts_with(name)), "{text}");
        }
    }
}
