//! What a person can mend: a message, the location that caused it, and a way out.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};

/// A text that problems point into: a file, or one `--set` argument.
#[derive(Debug)]
pub struct SourceText {
    /// The file as the user named it, or `--set`.
    pub name: String,
    /// Its whole text.
    pub text: String,
    named: NamedSource<String>,
}

impl SourceText {
    /// A source by its name and text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        let (name, text) = (name.into(), text.into());
        let named = NamedSource::new(&name, text.clone());
        Arc::new(Self { name, text, named })
    }
}

/// A stretch of a source, in bytes.
#[derive(Clone, Debug)]
pub struct SourceSpan {
    /// The text that holds it.
    pub source: Arc<SourceText>,
    /// Bytes of that text.
    pub span: Range<usize>,
}

impl SourceSpan {
    /// The line and the column where it starts, both counted from 1.
    pub fn line_and_column(&self) -> (usize, usize) {
        let before = &self.source.text[..self.span.start.min(self.source.text.len())];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// Whether its line and those around it are short enough to be drawn.
    fn is_short(&self) -> bool {
        let text = self.source.text.as_bytes();
        let start = self.span.start.min(text.len());
        let before = text[..start].rsplit(|byte| *byte == b'\n').take(2);
        let after = text[start..].split(|byte| *byte == b'\n').take(2);
        before.chain(after).all(|line| line.len() <= LONGEST_LINE)
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What was expected and what was found.
    pub message: String,
    /// A way out.
    pub help: Option<String>,
    /// Where it was written; a file that cannot be read has none.
    pub location: Option<SourceSpan>,
    /// Whether the world failed, as with an unreadable image, rather than the document.
    pub is_failure: bool,
    /// Whether it is about a file of the dataset that `check --data` looks into, and tells more of.
    pub is_dataset_problem: bool,
}

impl Problem {
    /// A problem with a location.
    pub fn at(location: Option<SourceSpan>, message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None, location, is_failure: false, is_dataset_problem: false }
    }

    /// The same problem as a failure of the world.
    pub fn failure(self) -> Self {
        Self { is_failure: true, ..self }
    }

    /// The same problem as one of the dataset's files.
    pub fn in_data(self) -> Self {
        Self { is_dataset_problem: true, ..self }
    }

    /// The same problem with a way out.
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
        // Of a text of many lines the first is marked.
        let marked = source.text.get(span.clone()).map_or(0, |text| text.lines().next().map_or(0, str::len));
        let span = span.start..span.start + marked;
        Some(Box::new(std::iter::once(LabeledSpan::at(span, "here"))))
    }
}

/// Everything found wrong at once; never empty.
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

/// How problems are drawn.
#[derive(Clone, Copy, Debug)]
pub struct RenderOptions {
    /// Columns of the terminal.
    pub width: usize,
    /// Whether colours are used.
    pub colour: bool,
    /// Whether lines are drawn with Unicode characters.
    pub unicode: bool,
}

/// The problems as a person reads them: file, line, column, the text with a mark below it, and a way out.
pub fn render(problems: &Problems, drawing: RenderOptions) -> String {
    let mut theme = match (drawing.unicode, drawing.colour) {
        (true, true) => GraphicalTheme::unicode(),
        (true, false) => GraphicalTheme::unicode_nocolor(),
        (false, _) => GraphicalTheme::ascii(),
    };
    if !drawing.colour {
        theme.styles = miette::ThemeStyles::none();
    }
    let handler = GraphicalReportHandler::new_themed(theme).with_width(drawing.width).with_links(false);
    let mut text = String::new();
    let most = problems.0.len().min(MOST_DRAWN);
    for problem in problems.0[..most].iter().map(drawable) {
        handler.render_report(&mut text, &problem).expect("writing to a string cannot fail");
    }
    if most < problems.0.len() {
        text.push_str(&format!("  and {} more problems\n", problems.0.len() - most));
    }
    text
}

/// More problems than this at once are one problem of a kind; the rest is counted.
const MOST_DRAWN: usize = 50;
/// Bytes of a message beyond which it is cut.
const LONGEST_MESSAGE: usize = 2000;
/// Bytes of a line beyond which it is not drawn: no terminal shows it, and the handler cannot.
const LONGEST_LINE: usize = 2000;

/// The problem, with a message of some lines; where the lines at its location are too long, the location in words.
fn drawable(problem: &Problem) -> Problem {
    let mut problem = problem.clone();
    if let Some(end) = problem.message.char_indices().map(|(at, _)| at).find(|at| *at > LONGEST_MESSAGE) {
        problem.message.truncate(end);
        problem.message.push_str(" ...");
    }
    if let Some(location) = problem.location.take_if(|location| !location.is_short()) {
        let (line, column) = location.line_and_column();
        problem.message = format!("{}:{line}:{column}: {}", location.source.name, problem.message);
    }
    problem
}

/// The allowed name nearest to a misspelt one, where one is near.
pub fn nearest<'a>(written: &str, allowed: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    allowed
        .into_iter()
        .map(|name| (strsim::jaro_winkler(written, name), name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_finds_its_neighbour() {
        assert_eq!(nearest("learning_rat", ["betas", "learning_rate"]), Some("learning_rate"));
        assert_eq!(nearest("zebra", ["betas", "learning_rate"]), None);
    }

    #[test]
    fn lines_and_columns_count_from_one() {
        let source = SourceText::new("a.yaml", "a: 1\nbé: 2\n");
        let start = source.text.find('2').unwrap();
        assert_eq!(SourceSpan { source, span: start..start + 1 }.line_and_column(), (2, 5));
    }
}
