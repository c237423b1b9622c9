//! A bot that joins a room and answers.

fn main() {}
