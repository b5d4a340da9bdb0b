//! How the threads of libtorch wait for each other.
//!
//! By default they wait actively. Alone on the machine that is fastest on small products; beside another busy program it is a
//! collapse, because a thread that spins takes the core that the other one needs. libgomp reads its settings when it is loaded,
//! which is before `main`: so the program starts itself again with them, unless the user has chosen.

/// Starts the program again with threads that sleep while they wait. Returns where nothing is to be done.
pub(crate) fn choose_policy() {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;
        let chosen = ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"]
            .iter()
            .any(|name| std::env::var_os(name).is_some());
        if let (false, Ok(program)) = (chosen, std::env::current_exe()) {
            let mut again = std::process::Command::new(program);
            again.args(std::env::args_os().skip(1)).env("OMP_WAIT_POLICY", "PASSIVE");
            // Returns only where it fails: then the program goes on as it is, slower beside others but right.
            let _error = again.exec();
        }
    }
}
