//! Errors that the user can fix: a message, its source location and a suggestion.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};

/// A source text: a file, or an argument of the command line.
#[derive(Debug)]
pub struct SourceText {
    /// The path as the user wrote it, or `command line`.
    pub name: String,
    /// The text.
    pub text: String,
    /// Whether it changes an experiment that is written elsewhere, as an argument or a sweep file does.
    pub is_change: bool,
    named: NamedSource<String>,
}

impl SourceText {
    /// Returns the text of a file.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Self::with(name.into(), text.into(), false)
    }

    /// Returns the text of a file that changes an experiment, such as a sweep file.
    pub fn change(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Self::with(name.into(), text.into(), true)
    }

    /// Returns an argument of the command line, such as `--set seed=7`.
    pub fn argument(text: impl Into<String>) -> Arc<Self> {
        Self::with(COMMAND_LINE.to_owned(), text.into(), true)
    }

    /// Returns whether the text is an argument of the command line.
    pub fn is_argument(&self) -> bool {
        self.is_change && self.name == COMMAND_LINE
    }

    fn with(name: String, text: String, is_change: bool) -> Arc<Self> {
        let named = NamedSource::new(&name, text.clone());
        Arc::new(Self { name, text, is_change, named })
    }
}

/// The name of arguments as a source.
const COMMAND_LINE: &str = "command line";

/// A byte range of a source text.
#[derive(Clone, Debug)]
pub struct SourceSpan {
    /// The source text.
    pub source: Arc<SourceText>,
    /// The range in bytes.
    pub span: Range<usize>,
}

impl SourceSpan {
    /// Returns the line and the column of its start, counted from 1.
    pub fn line_and_column(&self) -> (usize, usize) {
        let before = &self.source.text[..self.span.start.min(self.source.text.len())];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// Returns whether both are the same range of the same text.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.source, &other.source) && self.span == other.span
    }

    /// Returns whether its line and the lines around it are short enough to be printed.
    fn is_short(&self) -> bool {
        let text = self.source.text.as_bytes();
        let start = self.span.start.min(text.len());
        let before = text[..start].rsplit(|byte| *byte == b'\n').take(2);
        let after = text[start..].split(|byte| *byte == b'\n').take(2);
        before.chain(after).all(|line| line.len() <= MAX_LINE_LENGTH)
    }
}

/// One error, and how to fix it.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What is wrong: what was expected and what was found.
    pub message: String,
    /// How to fix it.
    pub help: Option<String>,
    /// The source location; `None` for a file that cannot be read.
    pub location: Option<SourceSpan>,
    /// Whether the environment failed, such as a damaged image, rather than the experiment file being wrong.
    pub is_failure: bool,
    /// Whether it is about the dataset's files, which `check --data` examines in detail.
    pub is_dataset_problem: bool,
}

impl Problem {
    /// Creates a problem at a source location.
    pub fn at(location: Option<SourceSpan>, message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None, location, is_failure: false, is_dataset_problem: false }
    }

    /// Marks the problem as a failure of the environment.
    pub fn failure(self) -> Self {
        Self { is_failure: true, ..self }
    }

    /// Marks the problem as one of the dataset's files.
    pub fn in_dataset(self) -> Self {
        Self { is_dataset_problem: true, ..self }
    }

    /// Adds how to fix it.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.location.as_ref().map(|location| &location.source.named as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let SourceSpan { source, span } = self.location.as_ref()?;
        // Of a text of several lines, mark the first.
        let marked = source.text.get(span.clone()).map_or(0, |text| text.lines().next().map_or(0, str::len));
        let span = span.start..span.start + marked;
        Some(Box::new(std::iter::once(LabeledSpan::at(span, "here"))))
    }
}

/// All errors that were found together; never empty.
#[derive(Clone, Debug)]
pub struct Problems(pub Vec<Problem>);

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.0.as_slice() {
            [problem] => problem.fmt(f),
            problems => write!(f, "{} problems in the experiment", problems.len()),
        }
    }
}

impl std::error::Error for Problems {}

impl Diagnostic for Problems {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.0.iter().map(|problem| problem as &dyn Diagnostic)))
    }
}

/// How problems are rendered.
#[derive(Clone, Copy, Debug)]
pub struct RenderOptions {
    /// Width of the terminal in columns.
    pub width: usize,
    /// Whether to use colours.
    pub colour: bool,
    /// Whether to use Unicode characters for lines.
    pub unicode: bool,
}

/// Renders problems for a terminal: file, line, column, the marked source text and how to fix it.
pub fn render(problems: &Problems, options: RenderOptions) -> String {
    let mut theme = match (options.unicode, options.colour) {
        (true, true) => GraphicalTheme::unicode(),
        (true, false) => GraphicalTheme::unicode_nocolor(),
        (false, _) => GraphicalTheme::ascii(),
    };
    if !options.colour {
        theme.styles = miette::ThemeStyles::none();
    }
    let handler = GraphicalReportHandler::new_themed(theme).with_width(options.width).with_links(false);
    let mut text = String::new();
    let count = problems.0.len().min(MAX_RENDERED);
    for problem in problems.0[..count].iter().map(renderable) {
        handler.render_report(&mut text, &problem).expect("writing to a string cannot fail");
    }
    if count < problems.0.len() {
        text.push_str(&format!("  and {} more problems\n", problems.0.len() - count));
    }
    text
}

/// The maximum number of problems that are rendered; the others are only counted.
const MAX_RENDERED: usize = 50;
/// The maximum length of a message in bytes; longer ones are truncated.
const MAX_MESSAGE_LENGTH: usize = 2000;
/// The maximum length in bytes of a source line that is printed; miette cannot render longer ones.
const MAX_LINE_LENGTH: usize = 2000;

/// Truncates a long message; if the source lines are too long to print, states the location in the message instead.
fn renderable(problem: &Problem) -> Problem {
    let mut problem = problem.clone();
    if let Some(end) =
        problem.message.char_indices().map(|(offset, _)| offset).find(|offset| *offset > MAX_MESSAGE_LENGTH)
    {
        problem.message.truncate(end);
        problem.message.push_str(" ...");
    }
    if let Some(location) = problem.location.take_if(|location| !location.is_short()) {
        let (line, column) = location.line_and_column();
        problem.message = format!("{}:{line}:{column}: {}", location.source.name, problem.message);
    }
    problem
}

/// Returns the allowed name that is most similar to a misspelt one, if any is similar. Names are compared in snake case, so
/// that `LabelSampler` and `batchSize` are similar to `label` and `batch_size`.
pub fn nearest<'a>(written: &str, allowed: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = snake_case(written);
    allowed
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&written, name), name))
        .filter(|(similarity, _)| *similarity > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    let mut was_lower = false;
    for letter in name.chars() {
        if letter.is_uppercase() && was_lower {
            snake.push('_');
        }
        was_lower = letter.is_lowercase() || letter.is_ascii_digit();
        match letter {
            '-' | ' ' => snake.push('_'),
            _ => snake.extend(letter.to_lowercase()),
        }
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_similar_name_is_suggested() {
        assert_eq!(nearest("learning_rat", ["betas", "learning_rate"]), Some("learning_rate"));
        assert_eq!(nearest("zebra", ["betas", "learning_rate"]), None);
        assert_eq!(nearest("AdamW", ["adam", "adamw", "sgd"]), Some("adamw"));
        assert_eq!(nearest("LabelSampler", ["uniform", "label", "grid"]), Some("label"));
        assert_eq!(nearest("batch-size", ["epochs", "batch_size"]), Some("batch_size"));
    }

    #[test]
    fn lines_and_columns_count_from_one() {
        let source = SourceText::new("a.yaml", "a: 1\nbé: 2\n");
        let start = source.text.find('2').unwrap();
        assert_eq!(SourceSpan { source, span: start..start + 1 }.line_and_column(), (2, 5));
    }
}
