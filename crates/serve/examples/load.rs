//! Puts a server under load and says how long requests take. The server may be a real one.
//!
//! `cargo run -p explanation-server --example load -- 127.0.0.1:8080 [--clients 20] [--requests 200] [--pid PID]`; with `--pid` also the
//! resident memory of the server's process, before and after.

#[path = "../tests/support/client.rs"]
#[expect(dead_code, unreachable_pub, reason = "a module of tests, which use more of it")]
#[expect(clippy::unwrap_used, reason = "a module of tests")]
mod client;
#[path = "../tests/support/load.rs"]
#[expect(unreachable_pub, reason = "a module of tests")]
#[expect(clippy::unwrap_used, reason = "a module of tests")]
mod load;

use std::net::SocketAddr;

#[expect(clippy::print_stdout, reason = "a program")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = pico_args::Arguments::from_env();
    let clients = args.opt_value_from_str("--clients")?.unwrap_or(20);
    let requests = args.opt_value_from_str("--requests")?.unwrap_or(200);
    let pid: Option<String> = args.opt_value_from_str("--pid")?;
    let address: String = args.free_from_str()?;
    let address = address.trim_start_matches("http://").trim_end_matches('/');
    let address: SocketAddr = address.replace("localhost", "127.0.0.1").parse()?;
    let megabytes = || load::resident(pid.as_deref()?).map(|bytes| bytes >> 20);
    let before = megabytes();
    let mut load = load::load(address, clients, requests);
    for line in load.lines() {
        println!("{line}");
    }
    println!("all {} requests came to their end", load.count());
    if let Some((before, after)) = before.zip(megabytes()) {
        println!("resident memory of the server: {before} MB, then {after} MB");
    }
    Ok(())
}
