//! The journal against a real disk.
