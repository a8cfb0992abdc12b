//! What is spoken on the three listeners, and how long a peer may keep them waiting.

mod limits;
mod peer;
mod resets;
mod tls;
