//! Placeholder of a room that the next commits furnish.
