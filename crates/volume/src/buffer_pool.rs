//! Arrays that are used again, so that making patches asks the system for no memory once it runs.

use std::sync::Mutex;

use super::lock::lock;
use super::volume::Label;

/// Arrays that are kept at most.
const MAX_ARRAYS: usize = 96;
/// Longer arrays are whole volumes, which are made once and not again.
const MAX_LENGTH: usize = 1 << 24;

/// A type whose arrays are kept for use again.
pub trait Pooled: Copy + Default + 'static {
    #[doc(hidden)]
    fn shelf() -> &'static Mutex<Vec<Vec<Self>>>;
}

macro_rules! pooled {
    ($($type:ty),*) => {$(
        impl Pooled for $type {
            fn shelf() -> &'static Mutex<Vec<Vec<Self>>> {
                static SHELF: Mutex<Vec<Vec<$type>>> = Mutex::new(Vec::new());
                &SHELF
            }
        }
    )*};
}
pooled!(f32, Label);

/// An array of so many values, whatever they are: the caller writes every one.
pub fn acquire<T: Pooled>(length: usize) -> Vec<T> {
    let mut shelf = lock(T::shelf());
    let fitting = shelf.iter().enumerate().filter(|(_, array)| array.capacity() >= length);
    let best = fitting.min_by_key(|(_, array)| array.capacity()).map(|(index, _)| index);
    let mut array = best.map_or_else(Vec::new, |index| shelf.swap_remove(index));
    drop(shelf);
    if array.capacity() < length {
        return vec![T::default(); length];
    }
    // Only what lies beyond the old length is written.
    array.resize(length, T::default());
    array
}

/// Gives an array back.
pub fn release<T: Pooled>(array: Vec<T>) {
    if (1..=MAX_LENGTH).contains(&array.capacity()) {
        let mut shelf = lock(T::shelf());
        if shelf.len() < MAX_ARRAYS {
            shelf.push(array);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_comes_back() {
        let array = acquire::<Label>(12_345);
        assert_eq!(array.len(), 12_345);
        let place = array.as_ptr();
        release(array);
        let again = acquire::<Label>(12_345);
        assert_eq!((again.as_ptr(), again.len()), (place, 12_345));
    }
}
