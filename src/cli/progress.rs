//! The progress display.
