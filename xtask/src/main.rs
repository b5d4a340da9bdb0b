//! Set-up, checks and chores of this workspace.

fn main() {}
