//! Comparison of runs, and the volume viewer.
//!
//! A report reads run folders and nothing else, so runs of any age can be compared:
//!
//! 1. [`runs`] searches a folder for run folders and reads them.
//! 2. [`comparison`] sorts them into groups with comparable scores, averages runs that differ only in seed and fold
//!    into settings, and compares every pair of settings with [`statistics`].
//! 3. [`verdict`] states the conclusion, the evidence and the caveats in sentences.
//! 4. [`report`] writes the result: [`tables`] as CSV, [`charts`] as SVG, [`page`] as HTML and [`markdown`].
//!
//! [`plots`] draws the PNG and SVG files of a single run or evaluation. [`viewer`] shows a volume with its label map and
//! prediction as GIF, PNG or HTML page. [`appearance`] has what all of them share: colours, font and page head; [`format`](mod@format) has
//! texts for people.

pub mod appearance;
pub mod charts;
pub mod comparison;
pub mod format;
pub mod markdown;
pub mod page;
pub mod plots;
pub mod report;
pub mod runs;
pub mod statistics;
pub mod tables;
pub mod verdict;
pub mod viewer;

pub use report::Report;
