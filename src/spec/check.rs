//! From document to plan.
