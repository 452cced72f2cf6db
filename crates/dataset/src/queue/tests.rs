//! The order of delivery with any number of workers, errors and panics.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::patch::Patch;
use random::{Purpose, Seed};

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
        affine: volume::Affine::IDENTITY,
        shape: [1; 3],
        channels: 1,
        image: vec![0.0],
        label: vec![0],
        weights: Vec::new(),
        params: Vec::new(),
        mask_params: Vec::new(),
    }
}

/// Makes a patch in a time that depends on the request, so that workers overtake each other.
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
fn patches_are_made_in_the_order_of_delivery() {
    let made = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&made);
    let delivered: Vec<_> = Queue::start(&spec(6, 1), order(6, 3), move |request| {
        list.lock().unwrap().push((request.subject, request.index));
        Ok(patch(request))
    })
    .map(|patch| patch.unwrap())
    .collect();
    let names: Vec<_> =
        made.lock().unwrap().iter().map(|(subject, index)| (format!("case_{subject}"), *index)).collect();
    assert_eq!(names, delivered.iter().map(|patch| (patch.subject.clone(), patch.index)).collect::<Vec<_>>());
}

#[test]
fn a_resumed_run_gets_the_remaining_patches() {
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
    assert!(order.iter().enumerate().all(|(index, request)| *request < index + 8));
    assert_ne!(order, sorted);
}

#[test]
fn every_batch_has_each_index_once() {
    let mut requests = epoch_order(Seed(4), 1, 5, 4);
    let delivery = delivery_order(Seed(4), 1, requests.len(), 6);
    assign_batch_indices(&mut requests, &delivery, 3);
    let indices: Vec<usize> = delivery.iter().map(|request| requests[*request].index_in_batch).collect();
    assert_eq!(indices[..7], [0, 1, 2, 0, 1, 2, 0]);
    assert_eq!(indices[18..], [0, 1]);
}

#[test]
fn iterations_choose_subjects_uniformly_and_do_not_depend_on_one_another() {
    let order = |epoch, iterations| iteration_order((Seed(4), Purpose::Order, epoch), 5, iterations, 6, 3);
    let requests = order(2, 1000);
    assert_eq!(requests[..30], order(2, 5));
    assert_ne!(requests[..30], order(3, 5));
    assert!(requests.iter().enumerate().all(|(index, request)| request.index == index));
    let in_batch: Vec<usize> = requests[..7].iter().map(|request| request.index_in_batch).collect();
    assert_eq!(in_batch, [0, 1, 2, 0, 1, 2, 0]);
    // The standard deviation of each count is 31.
    let counts: Vec<usize> = (0..5).map(|s| requests.iter().filter(|request| request.subject == s).count()).collect();
    assert!(counts.iter().all(|count| count.abs_diff(1200) < 155), "{counts:?}");
    // With replacement: some batch has a subject twice.
    assert!(requests.chunks(3).any(|batch| batch[0].subject == batch[1].subject));
}

#[test]
fn no_more_patches_are_in_memory_than_the_queue_may_hold() {
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
fn an_error_names_the_subject_and_ends_the_iteration() {
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
        1 => panic!("an assumption was wrong"),
        _ => Ok(patch(request)),
    });
    let error = queue.last().unwrap().unwrap_err();
    assert!(error.to_string().contains("case_1") && error.to_string().contains("assumption"), "{error}");
}

#[test]
fn dropping_a_queue_stops_its_workers() {
    let mut queue = Queue::start(&spec(2, 4), order(2, 0), slow);
    queue.next();
    drop(queue);
}
