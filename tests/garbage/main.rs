//! Invalid input: truncated, corrupt or inconsistent files, and unsafe names. Nothing panics, no more memory is allocated than
//! the file justifies, and the error names the file and what is wrong with it.

mod allocator;
mod cache;
mod corpus;
mod datasets;
mod feed;
mod mutate;
mod nifti;
mod paths;
mod runs;
mod weights;
mod yaml;

/// Compares pairs of a message and the expected one; reports all that differ.
fn assert_messages(messages: impl IntoIterator<Item = (String, String)>) {
    let wrong: Vec<String> = messages
        .into_iter()
        .filter(|(actual, expected)| actual != expected)
        .map(|(actual, expected)| format!("actual   {actual}\nexpected {expected}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
