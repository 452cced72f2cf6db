//! A pool of arrays, so that sampling patches allocates no memory in the steady state.

use std::sync::Mutex;

use super::lock::lock;
use super::volume::Label;

/// The capacity of the pool for each type.
const MAX_ARRAYS: usize = 96;
/// Longer arrays, such as whole volumes, are not pooled.
const MAX_LENGTH: usize = 1 << 24;

/// An element type whose arrays are pooled.
pub trait Pooled: Copy + Default + 'static {
    #[doc(hidden)]
    fn pool() -> &'static Mutex<Vec<Vec<Self>>>;
}

macro_rules! pooled {
    ($($type:ty),*) => {$(
        impl Pooled for $type {
            fn pool() -> &'static Mutex<Vec<Vec<Self>>> {
                static POOL: Mutex<Vec<Vec<$type>>> = Mutex::new(Vec::new());
                &POOL
            }
        }
    )*};
}
pooled!(f32, Label);

/// Returns an array of this length with arbitrary values, from the pool if possible.
pub fn acquire<T: Pooled>(length: usize) -> Vec<T> {
    let mut pool = lock(T::pool());
    let fitting = pool.iter().enumerate().filter(|(_, array)| array.capacity() >= length);
    let best = fitting.min_by_key(|(_, array)| array.capacity()).map(|(index, _)| index);
    let mut array = best.map_or_else(Vec::new, |index| pool.swap_remove(index));
    drop(pool);
    if array.capacity() < length {
        return vec![T::default(); length];
    }
    // Writes only the elements beyond the old length.
    array.resize(length, T::default());
    array
}

/// Returns an array to the pool.
pub fn release<T: Pooled>(array: Vec<T>) {
    if (1..=MAX_LENGTH).contains(&array.capacity()) {
        let mut pool = lock(T::pool());
        if pool.len() < MAX_ARRAYS {
            pool.push(array);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_released_array_is_acquired_again() {
        let array = acquire::<Label>(12_345);
        assert_eq!(array.len(), 12_345);
        let address = array.as_ptr();
        release(array);
        let again = acquire::<Label>(12_345);
        assert_eq!((again.as_ptr(), again.len()), (address, 12_345));
    }
}
