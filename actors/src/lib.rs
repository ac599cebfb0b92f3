//! How events flow: the actor kit, the actors, and the ports they need.

pub mod kit;
