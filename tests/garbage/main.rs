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
