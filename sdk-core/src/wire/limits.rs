//! Limits that the protocol or this implementation sets on frames.

/// Longest channel name in bytes.
pub const MAX_CHANNEL_LENGTH: usize = 255;

/// Largest payload of one publication in bytes, unless the server tells another.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// Largest frame that a server reads, in bytes; a larger one ends the connection.
pub const MAX_FRAME_BYTES: usize = 1024 * 1024;

/// Deepest nesting of arrays and objects in a payload.
pub const MAX_DEPTH: u32 = 128;

/// Largest integer that JavaScript holds exactly; offsets above it are a protocol error.
pub const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;
