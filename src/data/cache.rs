//! Preprocessed volumes on disk, found by the hash of what made them and read where they lie.
