//! The admin API of the catalogue, over real sockets.

mod bulk;
mod collections;
mod configs;
mod engines;
pub mod kinds;
mod members;
mod openapi;
mod reads;
mod refusals;
mod tags;
mod viewers;
