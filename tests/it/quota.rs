//! The catalogue, the quotas and the configs of a Core that runs, seen by nodes: who is cut off, who comes back, and which revisions it takes.

#![allow(clippy::unwrap_used, reason = "a test may fail, in its parts too")]

mod cut_off;
mod large;
mod nodes;
mod periods;
mod render_fails;
mod rendering;
mod renewal;
mod revisions;
mod scene;
mod suspects;
