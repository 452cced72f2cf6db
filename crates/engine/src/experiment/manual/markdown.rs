//! The reference as Markdown: `docs/experiment.md`.

use super::section::{Key, Manual, Section};

/// What precedes the sections.
const INTRODUCTION: &str = "\
<!-- Generated from the types. Edit their doc comments, then run: UPDATE=1 cargo test --release --test schema -->

# The keys of an experiment

An experiment is one YAML file; [the README](../README.md#an-experiment) has an example. This page lists every key, in the
order of a file. `runner explain KEY` prints the part about one key, such as `runner explain sampler.label`.

- **Required or default.** A key with a default need not be written. `null` as a value stands for the default.
- **Components.** Where one of several components is chosen, such as the optimizer, write a map with one key, its name:
  `adam: { learning_rate: 1.0e-4 }`. A component without keys is written `name: {}`.
- **Axes** are x, y and z, in this order. Where a key takes one value per axis, a single value is for all three:
  `patch: 96` is `patch: [96, 96, 96]`.
- **Labels** are written by number, or by their names in `data.labels`; `background` is 0.
- **Paths** are relative to the working folder unless a key says otherwise. A leading `~` is the home folder.
- **Numbers** may have an exponent, as in `1e-4`. Whole numbers may be written as `1e3`.
- **Dotted paths** name a key in `--set`, `--grid` and sweep files: `train.epochs`, `augment.0.affine.degrees`. The path of
  a component must be that of the chosen one; `optimizer.*.learning_rate` is that of whichever is chosen. To choose another
  one, set the whole map: `--set 'optimizer={sgd: {learning_rate: 0.01}}'`.

";

impl Manual {
    /// Returns the reference as Markdown.
    pub fn to_markdown(&self) -> String {
        let sections: Vec<String> = self.sections.iter().map(section).collect();
        format!("{INTRODUCTION}{}", sections.join("\n"))
    }
}

fn section(section: &Section) -> String {
    let title = match section.path.as_str() {
        "" => "Top of the file".to_owned(),
        path => format!("`{path}`"),
    };
    let mut text = format!("{} {title}\n", "#".repeat(section.depth.clamp(1, 3) + 1));
    if !section.text.is_empty() && !section.path.is_empty() {
        text.push_str(&format!("\n{}\n", section.text));
    }
    if let Some(example) = &section.example {
        text.push_str(&format!("\n```yaml\n{example}\n```\n"));
    }
    if !section.keys.is_empty() {
        text.push_str("\n| key | value | default | meaning |\n|---|---|---|---|\n");
        section.keys.iter().for_each(|key| text.push_str(&row(key)));
    }
    if !section.components.is_empty() {
        text.push_str("\n| component | |\n|---|---|\n");
        for (name, description) in &section.components {
            text.push_str(&format!("| `{name}` | {} |\n", cell(description)));
        }
    }
    text
}

fn row(key: &Key) -> String {
    let default = key.default.as_ref().map_or_else(|| "required".to_owned(), |default| format!("`{default}`"));
    let words: String = key.words.iter().map(|(word, text)| format!("<br>`{word}`: {text}")).collect();
    format!("| `{}` | {} | {} | {}{} |\n", key.name, cell(&key.value), cell(&default), cell(&key.text), cell(&words))
}

/// Escapes what would end a cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace("\n\n", "<br>")
}
