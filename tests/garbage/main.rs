//! Bad input: files that are cut, mixed up or lie, and names that lead elsewhere. Whatever is read, nothing panics,
//! no more memory is asked for than the file is worth, and the error names the file and what is wrong with it.

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

/// Compares what was told with what is to be, and names all that differ.
fn assert_told(told: impl IntoIterator<Item = (String, String)>) {
    let wrong: Vec<String> = told
        .into_iter()
        .filter(|(found, expected)| found != expected)
        .map(|(found, expected)| format!("found    {found}\nexpected {expected}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
