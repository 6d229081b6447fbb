//! What a store behind commands may do wrong.
