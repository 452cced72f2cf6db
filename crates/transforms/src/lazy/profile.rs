//! How long each step of a chain takes.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use volume::lock::lock;

/// The time that each step took, over all threads; what a step waited for the steps before it is theirs.
#[derive(Debug, Default)]
pub struct Profile(Mutex<BTreeMap<&'static str, Duration>>);

thread_local! {
    /// What the steps inside the one that runs have taken so far.
    static INSIDE: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

impl Profile {
    /// Runs `step` and, where there are times to be kept, adds what it took to those of its name.
    pub fn note<T>(times: Option<&Profile>, name: &'static str, step: impl FnOnce() -> T) -> T {
        let Some(times) = times else { return step() };
        let before = INSIDE.replace(Duration::ZERO);
        let start = Instant::now();
        let result = step();
        let took = start.elapsed();
        let own = took.saturating_sub(INSIDE.replace(before + took));
        *lock(&times.0).entry(name).or_default() += own;
        result
    }

    /// The steps' names and times, the longest first.
    pub fn table(&self) -> Vec<(&'static str, Duration)> {
        let mut rows: Vec<_> = lock(&self.0).iter().map(|(name, time)| (*name, *time)).collect();
        rows.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_inside_a_step_is_not_its_own_time() {
        let times = Profile::default();
        let sleep = |millis| std::thread::sleep(Duration::from_millis(millis));
        Profile::note(Some(&times), "outer", || {
            sleep(5);
            Profile::note(Some(&times), "inner", || sleep(40));
        });
        let table = times.table();
        assert_eq!((table[0].0, table[1].0), ("inner", "outer"));
        assert!(table[1].1 < Duration::from_millis(35), "{table:?}");
    }
}
