//! Cases that several processes share: each is predicted by the process that claims it.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::terminal::CliError;
use crate::terminal::signals::stop_flag;
use sweep::claim::Claim;

/// The interval at which cases that other processes hold are tried again.
const RETRY_EVERY: Duration = Duration::from_millis(500);

/// The cases that are left.
pub(super) struct ClaimedCases {
    folder: PathBuf,
    /// Their indices; those that other processes hold are tried again after the rest.
    left: VecDeque<usize>,
    /// The number of cases at the end of `left` that were held when they were tried, one after the other.
    held: usize,
    has_reported: bool,
}

/// The next case of this process.
pub(super) enum NextCase {
    /// The index of a case, and its claim: no other process predicts it before the claim is dropped.
    Claimed(usize, Claim),
    /// There are no more.
    End,
    /// The user stopped the process.
    Stopped,
}

impl ClaimedCases {
    /// Shares the cases of the given indices by claims in a folder.
    pub(super) fn new(folder: PathBuf, cases: Vec<usize>) -> Self {
        Self { folder, left: cases.into(), held: 0, has_reported: false }
    }

    /// Claims the next case; waits for those that other processes hold, so that none is left if one of them dies.
    pub(super) fn next<'a>(&mut self, name: impl Fn(usize) -> &'a str) -> Result<NextCase, CliError> {
        while let Some(index) = self.left.pop_front() {
            if stop_flag().load(Ordering::Relaxed) {
                return Ok(NextCase::Stopped);
            }
            // If another process took the case over, both would write the same files.
            let claim = Claim::take(&self.folder, name(index), || {}).map_err(|error| CliError::failure(&error))?;
            if let Some(claim) = claim {
                self.held = 0;
                return Ok(NextCase::Claimed(index, claim));
            }
            self.left.push_back(index);
            self.held += 1;
            if self.held >= self.left.len() {
                self.report();
                std::thread::sleep(RETRY_EVERY);
            }
        }
        Ok(NextCase::End)
    }

    /// Reports once that this process waits.
    fn report(&mut self) {
        if !std::mem::replace(&mut self.has_reported, true) {
            let cases = if self.left.len() == 1 { "1 case".to_owned() } else { format!("{} cases", self.left.len()) };
            eprintln!("waiting for {cases} that other processes are predicting");
        }
    }
}
