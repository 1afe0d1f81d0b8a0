//! A guarded host: control plane, agent, policy and CLI, all of them the real binaries.
