//! The inside of a worker.
