//! Parses the command line, wires the agent and runs it. Holds no logic.

fn main() {}
