//! Signals between nodes, over core NATS.
