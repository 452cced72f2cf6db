//! Connected components of label maps.
