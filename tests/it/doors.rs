//! Who may come in, and how often.

mod limits;
