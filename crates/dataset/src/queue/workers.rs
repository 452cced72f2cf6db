//! The queue and its worker threads.

use std::any::Any;
use std::collections::HashMap;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::order::{PatchOrder, Request};
use super::settings::QueueSpec;
use crate::patch::Patch;

/// Why a patch could not be made.
pub type MakeError = Box<dyn Error + Send + Sync>;

/// Why the queue ended early.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// A patch could not be made.
    #[error("patch {index} of subject {subject} cannot be made")]
    Make {
        /// Name of the subject.
        subject: String,
        /// Index of the patch among those of the subject.
        index: usize,
        /// The cause.
        source: MakeError,
    },
    /// A worker panicked.
    #[error("making patch {index} of subject {subject} panicked: {message}")]
    Panic {
        /// Name of the subject.
        subject: String,
        /// Index of the patch among those of the subject.
        index: usize,
        /// Message of the panic.
        message: String,
    },
}

type Make = dyn Fn(Request) -> Result<Patch, MakeError> + Send + Sync;

/// An iterator over patches in a fixed order, which worker threads make ahead.
///
/// Workers make them in the order of delivery, while fewer than `max_length` patches are ready or being made: so the next
/// patch is ready first and memory is bounded.
pub struct Queue {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    next: usize,
    waited: Duration,
}

struct Shared {
    order: PatchOrder,
    max_length: usize,
    make: Box<Make>,
    state: Mutex<State>,
    /// Signals that a patch is ready.
    ready: Condvar,
    /// Signals that a patch was taken or the queue was stopped.
    taken: Condvar,
}

#[derive(Default)]
struct State {
    /// Index in the delivery of the next request for a worker.
    next: usize,
    /// Patches that are ready or being made.
    outstanding: usize,
    patches: HashMap<usize, Result<Patch, QueueError>>,
    stopped: bool,
}

impl Queue {
    /// Starts the workers of an epoch, which call `make`: fewer if the system does not allow the process more threads, and
    /// without any, patches are made when they are taken.
    pub fn start(
        spec: &QueueSpec,
        order: PatchOrder,
        make: impl Fn(Request) -> Result<Patch, MakeError> + Send + Sync + 'static,
    ) -> Self {
        let next = order.skip;
        let shared = Arc::new(Shared {
            order,
            max_length: spec.max_length.get(),
            make: Box::new(make),
            state: Mutex::new(State { next, ..State::default() }),
            ready: Condvar::new(),
            taken: Condvar::new(),
        });
        let spawn = |index: usize| {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name(format!("patches-{index}"));
            thread.spawn(move || shared.work()).ok()
        };
        let workers = (0..spec.workers).map_while(spawn).collect();
        Self { shared, workers, next, waited: Duration::ZERO }
    }

    /// Returns the total time that the caller has waited for patches, in seconds.
    pub fn wait_seconds(&self) -> f64 {
        self.waited.as_secs_f64()
    }
}

impl Iterator for Queue {
    type Item = Result<Patch, QueueError>;

    fn next(&mut self) -> Option<Self::Item> {
        let request = *self.shared.order.delivery.get(self.next)?;
        self.next += 1;
        let start = Instant::now();
        let patch = if self.workers.is_empty() { self.shared.make(request) } else { self.shared.take(request) };
        self.waited += start.elapsed();
        if patch.is_err() {
            // An error ends the iteration.
            self.next = self.shared.order.delivery.len();
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

    /// The loop of a worker.
    fn work(&self) {
        while let Some(request) = self.next_request() {
            let patch = self.make(request);
            self.lock().patches.insert(request, patch);
            self.ready.notify_all();
        }
    }

    /// Waits until the queue has room and returns the next request; `None` if there is none.
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

    /// Waits for a patch and removes it from the queue.
    fn take(&self, request: usize) -> Result<Patch, QueueError> {
        let mut state = self.lock();
        loop {
            if let Some(patch) = state.patches.remove(&request) {
                state.outstanding -= 1;
                self.taken.notify_one();
                return patch;
            }
            state = self.ready.wait(state).expect("no thread panics while it holds the lock");
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

/// Returns the message of a panic.
pub fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
