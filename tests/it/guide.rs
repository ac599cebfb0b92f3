//! The operations guide, row by row: a test is named after the row it holds.

mod template_cache;
