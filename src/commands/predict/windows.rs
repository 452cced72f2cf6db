//! The progress bar of a prediction.

/// A progress bar over the windows of an image; shown only on a terminal.
pub(in crate::commands) struct Windows {
    bar: Option<indicatif::ProgressBar>,
}

impl Windows {
    /// Creates a bar for an image.
    pub(in crate::commands) fn new(name: &str, quiet: bool) -> Self {
        let is_shown = !quiet && std::io::IsTerminal::is_terminal(&std::io::stderr());
        let bar = is_shown.then(|| {
            let template = "{msg} {wide_bar:.cyan/blue} {pos}/{len} windows · {eta} left";
            let style = indicatif::ProgressStyle::with_template(template).expect("the template is valid");
            indicatif::ProgressBar::new(0).with_style(style).with_message(name.to_owned())
        });
        Self { bar }
    }

    /// Shows how many windows are done.
    pub(in crate::commands) fn show(&self, done: usize, total: usize) {
        if let Some(bar) = &self.bar {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        }
    }

    /// Prints a line to stderr above the bar.
    pub(in crate::commands) fn line(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }
}

impl Drop for Windows {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
