//! Threads that turn subjects into a shuffled stream of patches.
//!
//! The order in which patches are delivered is a pure function of the seed and the epoch: it is
//! simulated before the first patch is made. So the number of workers, and who of them is faster,
//! changes nothing but the time.

use std::any::Any;
use std::collections::HashMap;
use std::error::Error;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::patch::Patch;
use random::{Purpose, Seed};

/// How patches are made ahead of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueueSpec {
    /// How many patches are kept ready, at most; also how far apart patches of one subject are shuffled.
    #[serde(default = "default_max_length")]
    pub max_length: NonZeroUsize,
    /// Patches drawn from each subject in an epoch.
    #[serde(default = "default_samples_per_volume")]
    pub samples_per_volume: NonZeroUsize,
    /// Threads that make patches; 0 makes them in the training thread. Changes no result.
    #[serde(default = "default_workers")]
    pub workers: usize,
}

impl Default for QueueSpec {
    fn default() -> Self {
        Self {
            max_length: default_max_length(),
            samples_per_volume: default_samples_per_volume(),
            workers: default_workers(),
        }
    }
}

fn default_max_length() -> NonZeroUsize {
    NonZeroUsize::new(40).expect("40 is not 0")
}

fn default_samples_per_volume() -> NonZeroUsize {
    NonZeroUsize::new(5).expect("5 is not 0")
}

fn default_workers() -> usize {
    2
}

/// A patch to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The subject, as an index into the list of names.
    pub subject: usize,
    /// Which of the subject's patches of this epoch.
    pub index: usize,
    /// Its place in its batch, counted from 0.
    pub index_in_batch: usize,
}

/// The requests of an epoch: subjects in shuffled order, all patches of a subject together; their places in batches
/// come with [`assign_batch_indices`].
pub fn epoch_order(seed: Seed, epoch: u64, num_subjects: usize, samples_per_volume: usize) -> Vec<Request> {
    let mut subjects: Vec<usize> = (0..num_subjects).collect();
    seed.stream(Purpose::Order, epoch, "subjects", 0).shuffle(&mut subjects);
    let request = |subject, index| Request { subject, index, index_in_batch: 0 };
    let patches = |subject| (0..samples_per_volume).map(move |index| request(subject, index));
    subjects.into_iter().flat_map(patches).collect()
}

/// Which request is delivered at each place: requests enter a buffer of `max_length` in order, and a random one leaves it.
///
/// So request r is delivered no earlier than place `r + 1 - max_length`, and never more than
/// `max_length` patches need to exist.
pub fn delivery_order(seed: Seed, epoch: u64, num_requests: usize, max_length: usize) -> Vec<usize> {
    let mut rng = seed.stream(Purpose::Order, epoch, "patches", 0);
    let mut entering = 0..num_requests;
    let mut buffer: Vec<usize> = entering.by_ref().take(max_length).collect();
    let mut order = Vec::with_capacity(num_requests);
    while !buffer.is_empty() {
        let chosen = rng.below(buffer.len() as u64) as usize;
        order.push(match entering.next() {
            Some(next) => std::mem::replace(&mut buffer[chosen], next),
            None => buffer.swap_remove(chosen),
        });
    }
    order
}

/// Gives each request its place in its batch: batches are filled in the order of delivery.
pub fn assign_batch_indices(requests: &mut [Request], delivery: &[usize], batch_size: usize) {
    for (place, request) in delivery.iter().enumerate() {
        requests[*request].index_in_batch = place % batch_size;
    }
}

/// Why a patch could not be made.
pub type MakeError = Box<dyn Error + Send + Sync>;

/// Why the stream of patches ended early.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// A patch could not be made.
    #[error("patch {index} of subject {subject} cannot be made")]
    Make {
        /// The subject's name.
        subject: String,
        /// Which of its patches.
        index: usize,
        /// Why.
        source: MakeError,
    },
    /// A worker met a bug.
    #[error("making patch {index} of subject {subject} panicked: {message}")]
    Panic {
        /// The subject's name.
        subject: String,
        /// Which of its patches.
        index: usize,
        /// What the panic said.
        message: String,
    },
}

type Make = dyn Fn(Request) -> Result<Patch, MakeError> + Send + Sync;

/// What an epoch's patches are and how they are made.
pub struct PatchOrder {
    /// The subjects' names.
    pub names: Arc<Vec<String>>,
    /// Every patch of the epoch.
    pub requests: Vec<Request>,
    /// Which request is delivered at each place.
    pub delivery: Vec<usize>,
    /// Patches at the start that were delivered before, in a run that goes on.
    pub skip: usize,
}

/// A stream of patches in a fixed order, made ahead by worker threads.
///
/// Workers make them in the order of delivery as long as fewer than `max_length` patches exist or are in the
/// making, so what is wanted first is there first, they refill while training goes on, and memory is bounded.
pub struct Queue {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    place: usize,
    waited: Duration,
}

struct Shared {
    order: PatchOrder,
    max_length: usize,
    make: Box<Make>,
    state: Mutex<State>,
    /// A patch is ready.
    made: Condvar,
    /// A patch was taken, or all is over.
    taken: Condvar,
}

#[derive(Default)]
struct State {
    /// The next place of the delivery whose request a worker takes.
    next: usize,
    /// Patches that exist or are in the making.
    outstanding: usize,
    ready: HashMap<usize, Result<Patch, QueueError>>,
    stopped: bool,
}

impl Queue {
    /// Starts the workers of an epoch.
    pub fn start(
        spec: &QueueSpec,
        order: PatchOrder,
        make: impl Fn(Request) -> Result<Patch, MakeError> + Send + Sync + 'static,
    ) -> Self {
        let place = order.skip;
        let shared = Arc::new(Shared {
            order,
            max_length: spec.max_length.get(),
            make: Box::new(make),
            state: Mutex::new(State { next: place, ..State::default() }),
            made: Condvar::new(),
            taken: Condvar::new(),
        });
        let spawn = |index: usize| {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name(format!("patches-{index}"));
            thread.spawn(move || shared.work()).expect("the system lets a process start threads")
        };
        let workers = (0..spec.workers).map(spawn).collect();
        Self { shared, workers, place, waited: Duration::ZERO }
    }

    /// Seconds that the caller has waited for patches so far.
    pub fn wait_seconds(&self) -> f64 {
        self.waited.as_secs_f64()
    }
}

impl Iterator for Queue {
    type Item = Result<Patch, QueueError>;

    fn next(&mut self) -> Option<Self::Item> {
        let request = *self.shared.order.delivery.get(self.place)?;
        self.place += 1;
        let start = Instant::now();
        let patch = if self.workers.is_empty() { self.shared.make(request) } else { self.shared.take(request) };
        self.waited += start.elapsed();
        if patch.is_err() {
            // An error ends the stream.
            self.place = self.shared.order.delivery.len();
        }
        Some(patch)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.taken.notify_all();
        for worker in self.workers.drain(..) {
            worker.join().expect("a worker catches its panics");
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the lock")
    }

    /// A worker's life: take the next request, make its patch, lay it down.
    fn work(&self) {
        while let Some(request) = self.next_request() {
            let patch = self.make(request);
            self.lock().ready.insert(request, patch);
            self.made.notify_all();
        }
    }

    /// Waits until there is room, then takes the request that is delivered next.
    fn next_request(&self) -> Option<usize> {
        let mut state = self.lock();
        loop {
            let request = *self.order.delivery.get(state.next).filter(|_| !state.stopped)?;
            if state.outstanding < self.max_length {
                state.outstanding += 1;
                state.next += 1;
                return Some(request);
            }
            state = self.taken.wait(state).expect("no thread panics while it holds the lock");
        }
    }

    /// Waits for a patch and takes it.
    fn take(&self, request: usize) -> Result<Patch, QueueError> {
        let mut state = self.lock();
        loop {
            if let Some(patch) = state.ready.remove(&request) {
                state.outstanding -= 1;
                self.taken.notify_one();
                return patch;
            }
            state = self.made.wait(state).expect("no thread panics while it holds the lock");
        }
    }

    fn make(&self, request: usize) -> Result<Patch, QueueError> {
        let request = self.order.requests[request];
        let subject = || self.order.names[request.subject].clone();
        match catch_unwind(AssertUnwindSafe(|| (self.make)(request))) {
            Ok(Ok(patch)) => Ok(patch),
            Ok(Err(source)) => Err(QueueError::Make { subject: subject(), index: request.index, source }),
            Err(panic) => {
                let message = panic_message(panic.as_ref()).to_owned();
                Err(QueueError::Panic { subject: subject(), index: request.index, message })
            }
        }
    }
}

/// What a panic said.
pub fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(max_length: usize, workers: usize) -> QueueSpec {
        let max_length = NonZeroUsize::new(max_length).unwrap();
        QueueSpec { max_length, workers, ..QueueSpec::default() }
    }

    fn order(max_length: usize, skip: usize) -> PatchOrder {
        let requests = epoch_order(Seed(1), 3, 5, 4);
        let delivery = delivery_order(Seed(1), 3, requests.len(), max_length);
        let names = Arc::new((0..5).map(|i| format!("case_{i}")).collect());
        PatchOrder { names, requests, delivery, skip }
    }

    fn patch(request: Request) -> Patch {
        Patch {
            subject: format!("case_{}", request.subject),
            index: request.index,
            start: [0; 3],
            shape: [1; 3],
            channels: 1,
            image: vec![0.0],
            label: vec![0],
            params: Vec::new(),
        }
    }

    /// A maker whose duration depends on the request, so that workers overtake each other.
    fn slow(request: Request) -> Result<Patch, MakeError> {
        std::thread::sleep(Duration::from_micros(((request.subject * 7 + request.index * 13) % 5) as u64 * 300));
        Ok(patch(request))
    }

    fn delivered(max_length: usize, workers: usize, skip: usize) -> Vec<(String, usize)> {
        let queue = Queue::start(&spec(max_length, workers), order(max_length, skip), slow);
        queue.map(|patch| patch.unwrap()).map(|patch| (patch.subject.clone(), patch.index)).collect()
    }

    #[test]
    fn any_number_of_workers_delivers_the_same_patches_in_the_same_order() {
        for max_length in [1, 3, 40] {
            let expected = delivered(max_length, 0, 0);
            assert_eq!(expected.len(), 20);
            for workers in [1, 2, 4, 16] {
                assert_eq!(delivered(max_length, workers, 0), expected, "{workers} workers, {max_length} patches");
            }
        }
    }

    #[test]
    fn the_patch_that_is_wanted_first_is_made_first() {
        let made = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&made);
        let wanted: Vec<_> = Queue::start(&spec(6, 1), order(6, 3), move |request| {
            list.lock().unwrap().push((request.subject, request.index));
            Ok(patch(request))
        })
        .map(|patch| patch.unwrap())
        .collect();
        let names: Vec<_> =
            made.lock().unwrap().iter().map(|(subject, index)| (format!("case_{subject}"), *index)).collect();
        assert_eq!(names, wanted.iter().map(|patch| (patch.subject.clone(), patch.index)).collect::<Vec<_>>());
    }

    #[test]
    fn a_run_that_goes_on_gets_the_rest() {
        let whole = delivered(6, 2, 0);
        for skip in [1, 7, 20] {
            assert_eq!(delivered(6, 3, skip), whole[skip..], "after {skip}");
        }
    }

    #[test]
    fn every_patch_is_delivered_once_and_not_before_it_could_be_made() {
        let order = delivery_order(Seed(4), 1, 100, 8);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        assert!(order.iter().enumerate().all(|(place, request)| *request < place + 8));
        assert_ne!(order, sorted);
    }

    #[test]
    fn every_batch_has_each_of_its_places_once() {
        let mut requests = epoch_order(Seed(4), 1, 5, 4);
        let delivery = delivery_order(Seed(4), 1, requests.len(), 6);
        assign_batch_indices(&mut requests, &delivery, 3);
        let places: Vec<usize> = delivery.iter().map(|request| requests[*request].index_in_batch).collect();
        assert_eq!(places[..7], [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(places[18..], [0, 1]);
    }

    #[test]
    fn no_more_patches_exist_than_the_queue_may_hold() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let made = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&made);
        let mut queue = Queue::start(&spec(4, 3), order(4, 0), move |request| {
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(patch(request))
        });
        for taken in 1..=20 {
            queue.next().unwrap().unwrap();
            std::thread::sleep(Duration::from_millis(1));
            let made = made.load(Ordering::SeqCst);
            assert!(made <= taken + 4, "{made} made when {taken} were taken");
        }
    }

    #[test]
    fn an_error_names_the_subject_and_ends_the_stream() {
        let fail = |request: Request| if request.subject == 2 { Err("torn file".into()) } else { Ok(patch(request)) };
        for workers in [0, 3] {
            let patches: Vec<_> = Queue::start(&spec(5, workers), order(5, 0), fail).collect();
            let error = patches.last().unwrap().as_ref().unwrap_err();
            assert!(error.to_string().contains("case_2"), "{error}");
            assert!(patches[..patches.len() - 1].iter().all(Result::is_ok));
        }
    }

    #[test]
    fn a_panic_becomes_an_error() {
        let queue = Queue::start(&spec(5, 2), order(5, 0), |request| match request.subject {
            1 => panic!("a belief was wrong"),
            _ => Ok(patch(request)),
        });
        let error = queue.last().unwrap().unwrap_err();
        assert!(error.to_string().contains("case_1") && error.to_string().contains("belief"), "{error}");
    }

    #[test]
    fn dropping_a_queue_ends_its_workers() {
        let mut queue = Queue::start(&spec(2, 4), order(2, 0), slow);
        queue.next();
        drop(queue);
    }
}
