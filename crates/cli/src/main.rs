//! The command `medgemma-explainer`.

fn main() {}
