//! Statistics of scores: bootstrap confidence intervals, the Wilcoxon signed-rank test with Holm's correction, and the
//! variation between seeds.
//!
//! `tests/statistics.rs` compares them with SciPy and statsmodels.

mod bootstrap;
mod quantiles;
mod score_summary;
mod seed_variation;
mod signed_rank;

pub use bootstrap::{Bootstrap, ConfidenceInterval};
pub use quantiles::{BoxPlotStatistics, mean, quantile};
pub use score_summary::{ScoreSummary, ScoreTable};
pub use seed_variation::SeedVariation;
pub use signed_rank::{SignedRankTest, holm_adjust, min_p_value, wilcoxon_signed_rank};
