//! From run folders to tables and pictures.
