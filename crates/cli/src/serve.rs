//! `medgemma-explainer serve`: a page in the browser and an HTTP interface, with a model that is loaded once.

mod model;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::builder::NonEmptyStringValueParser;
use explanation_server::{Limits, Log, ServerOptions, Stopped, Token, serve};

use crate::args::{ModelArgs, PictureArgs};
use crate::jobs::WorkArgs;
use crate::size::size;
use crate::{interrupt, output, whole};
use model::Served;

/// Where the token is looked for when no option names it.
const TOKEN_VARIABLE: &str = "MEDGEMMA_EXPLAINER_TOKEN";

/// How long the work that is running may take to end after a signal.
const GRACE: Duration = Duration::from_secs(10);

/// How often a signal is looked for.
const PATIENCE: Duration = Duration::from_millis(100);

pub(crate) const INTERFACE: &str = concat!(
    "The interface is described by /openapi.json: POST /v1/answers and /v1/explanations, their events, reports and files, GET /v1/model, /healthz and /metrics. ",
    "Pictures are sent, never named by a path; requests of other sites are refused.\n\n",
    "Beyond this machine (--host 0.0.0.0) a token is needed; put a proxy with TLS in front, since what is sent is not encrypted. ",
    "The variable MEDGEMMA_EXPLAINER_TOKEN is taken where neither --token nor --token-file is given."
);

#[derive(clap::Args, Debug)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pictures: PictureArgs,
    #[command(flatten)]
    work: WorkArgs,
    /// Address to listen at; anything but this machine's own needs a token
    #[arg(long, value_name = "ADDRESS", default_value_t = Ipv4Addr::LOCALHOST.into(), help_heading = "Server")]
    host: IpAddr,
    /// Port to listen at; 0: any that is free
    #[arg(long, value_name = "N", default_value_t = 8765, help_heading = "Server")]
    port: u16,
    /// A name that the server is called by, such as explain.hospital.example; may be repeated
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new(), help_heading = "Server")]
    host_name: Vec<String>,
    /// Secret that every request must carry, at least 16 characters. Others on this machine see command lines: --token-file hides it
    #[arg(long, value_name = "TEXT", conflicts_with = "token_file", help_heading = "Server")]
    token: Option<String>,
    /// A file with the secret
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    token_file: Option<PathBuf>,
    /// Write the address of the server into this file once it answers
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    ready_file: Option<PathBuf>,
    /// Keep finished explanations in this folder, also over a restart; by default they are in memory alone
    #[arg(long, value_name = "DIR", help_heading = "Server")]
    store: Option<PathBuf>,
    /// Answers and explanations that may wait
    #[arg(long, value_name = "N", default_value_t = 16, help_heading = "Server")]
    queue: usize,
    /// Memory for results and answers that can still be explained
    #[arg(long, value_name = "SIZE", default_value = "2GiB", value_parser = size, help_heading = "Server")]
    keep: u64,
    /// Minutes that results and answers are kept after they were last asked for
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Server")]
    keep_minutes: u32,
    /// Largest request
    #[arg(long, value_name = "SIZE", default_value = "128MiB", value_parser = size, help_heading = "Server")]
    max_request: u64,
}

/// Serves until a signal comes.
pub(crate) fn run(args: &ServeArgs) -> Result<()> {
    let token = args.token()?;
    let options = args.options(token)?;
    // From here on a signal ends the server in good order.
    let _flag = interrupt::flag();
    let model = Served::load(args)?;
    let running = serve(model, options)?;
    let url = format!("http://{}", running.address());
    if let Some(file) = &args.ready_file {
        whole::write(file, url.as_bytes())
            .with_context(|| format!("--ready-file {}", file.display()))?;
    }
    output::line(format_args!("{url}/"));
    output::note("Ctrl-C ends the server; research use only, not for diagnosis");
    let stopper = running.stopper();
    let watch = move || {
        while interrupt::exit_code().is_none() {
            thread::sleep(PATIENCE);
        }
        stopper.stop();
    };
    thread::Builder::new().name("stopper".to_owned()).spawn(watch)?;
    if running.wait(GRACE) != Stopped::Finished {
        output::note("what was running was cut off");
    }
    Ok(())
}

impl ServeArgs {
    fn token(&self) -> Result<Option<Token>> {
        let of_variable = || std::env::var(TOKEN_VARIABLE).ok().filter(|text| !text.is_empty());
        Ok(match (&self.token, &self.token_file) {
            (Some(text), _) => Some(Token::new(text).context("--token")?),
            (None, Some(file)) => Some(Token::from_file(file)?),
            (None, None) => {
                let token = of_variable().map(|text| Token::new(&text)).transpose();
                token.with_context(|| format!("the variable {TOKEN_VARIABLE}"))?
            }
        })
    }

    fn options(&self, token: Option<Token>) -> Result<ServerOptions> {
        let body_bytes = usize::try_from(self.max_request).context("--max-request")?;
        let limits = Limits {
            body_bytes,
            picture_bytes: body_bytes,
            queue: self.queue,
            kept_bytes: self.keep,
            kept: Duration::from_secs(60 * u64::from(self.keep_minutes)),
            ..Limits::default()
        };
        Ok(ServerOptions {
            address: SocketAddr::new(self.host, self.port),
            host_names: self.host_name.clone(),
            token,
            store: self.store.clone(),
            limits,
            log: Log::new(output::log),
        })
    }
}
