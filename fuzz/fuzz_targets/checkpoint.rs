//! Weights, training states and PyTorch state dicts.

#![no_main]

#[allow(dead_code, reason = "each target feeds one of them")]
#[path = "../../tests/garbage/feed.rs"]
mod feed;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    feed::checkpoint(bytes);
});
