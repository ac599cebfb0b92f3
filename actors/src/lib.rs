//! How events flow: the actor kit, the actors, and the ports they need. Async; no I/O of its own.
//!
//! Floors, imports point down only:
//! ```text
//! pipeline                                          who sends to whom, with which bounds
//! generator -> committer, template_cache            the actors; an import of another actor's Message is an edge
//! generator, committer, template_cache -> metric_writer    of the message graph, which has no cycle
//! retry                                             when to try again
//! ports                                             what the actors ask of the world
//! event   metric   kit                              plain values; the kit knows none of them
//! ```

pub mod committer;
pub mod event;
pub mod generator;
pub mod kit;
pub mod metric;
pub mod metric_writer;
pub mod pipeline;
pub mod ports;
pub mod retry;
pub mod template_cache;
