//! What agents and admins were promised, asked for over real sockets: every route and every RPC, with right and with wrong questions.

mod addresses;
mod admin_codes;
mod admin_nodes;
mod admin_reads;
mod admin_roles;
mod answers;
mod bodies;
pub mod caller;
mod counting;
mod credentials;
pub mod doctor;
mod fields;
mod keys;
mod life;
mod manual;
mod process;
mod raw;
mod refusals;
mod register;
mod repeats;
mod rpc_answers;
mod rpc_refusals;
mod settings;
pub mod sums;
mod sync;
mod upkeep;
pub mod world;
