//! Delivery of a graph to ckcore.
