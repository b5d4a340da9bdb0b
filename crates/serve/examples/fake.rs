//! Serves a model that answers a fixed text, to try the interface and the page without a checkpoint.
//!
//! `cargo run -p explanation-server --example fake -- --port 8080 [--token-ms 60] [--row-ms 400] [--store DIR] [--any-picture]`

#[path = "../tests/support/fake.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
#[expect(unreachable_pub, reason = "a module of tests")]
#[expect(clippy::unwrap_used, reason = "a module of tests")]
mod fake;

use std::{net::Ipv4Addr, path::PathBuf, time::Duration};

use explanation_server::{ServerOptions, Token, serve};
use fake::Fake;

#[expect(clippy::print_stdout, reason = "a program")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = pico_args::Arguments::from_env();
    let port: u16 = args.opt_value_from_str("--port")?.unwrap_or(0);
    let milliseconds =
        |value: Option<u64>, default| Duration::from_millis(value.unwrap_or(default));
    let model = Fake {
        token: milliseconds(args.opt_value_from_str("--token-ms")?, 60),
        row: milliseconds(args.opt_value_from_str("--row-ms")?, 400),
        strict: !args.contains("--any-picture"),
        ..Fake::default()
    };
    let store: Option<PathBuf> = args.opt_value_from_str("--store")?;
    let token: Option<PathBuf> = args.opt_value_from_str("--token")?;
    let options = ServerOptions {
        address: (Ipv4Addr::LOCALHOST, port).into(),
        token: token.map(|path| Token::from_file(&path)).transpose()?,
        store,
        ..ServerOptions::default()
    };
    let running = serve(model, options)?;
    println!("http://{}/", running.address());
    let stopped = running.wait(Duration::from_secs(5));
    println!("{stopped:?}");
    Ok(())
}
