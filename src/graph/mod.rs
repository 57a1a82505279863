//! Graph: ids, merge, checks and export.
