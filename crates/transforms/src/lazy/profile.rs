//! Profiling: how long each step of a chain takes.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use volume::lock::lock;

/// The total time of each step over all threads, without the time of the steps that it calls (self time).
#[derive(Debug, Default)]
pub struct Profile(Mutex<BTreeMap<&'static str, Duration>>);

thread_local! {
    /// The time of the steps called by the running step so far.
    static NESTED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

impl Profile {
    /// Runs `step` and, if there is a profile, adds its time under its name.
    pub fn time<T>(profile: Option<&Profile>, name: &'static str, step: impl FnOnce() -> T) -> T {
        let Some(profile) = profile else { return step() };
        let before = NESTED.replace(Duration::ZERO);
        let start = Instant::now();
        let result = step();
        let elapsed = start.elapsed();
        let own = elapsed.saturating_sub(NESTED.replace(before + elapsed));
        *lock(&profile.0).entry(name).or_default() += own;
        result
    }

    /// Returns the names and times of the steps, the slowest first.
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
    fn the_time_of_a_nested_step_is_not_counted_twice() {
        let profile = Profile::default();
        let sleep = |millis| std::thread::sleep(Duration::from_millis(millis));
        Profile::time(Some(&profile), "outer", || {
            sleep(5);
            Profile::time(Some(&profile), "inner", || sleep(40));
        });
        let table = profile.table();
        assert_eq!((table[0].0, table[1].0), ("inner", "outer"));
        assert!(table[1].1 < Duration::from_millis(35), "{table:?}");
    }
}
