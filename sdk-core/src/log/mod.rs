//! A channel's messages: joining the log, and keeping it without a hole.

pub(crate) mod recovery;
mod server_side;
mod subscription;
