//! The server itself: listens, serves, stops.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::{self, Runtime},
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_io_timeout::TimeoutStream;

use crate::{
    Error, Model, ServerOptions,
    engine::engine,
    guard::Names,
    openapi,
    queue::{Given, Hub},
    routes::router,
    store::Store,
    worker,
};

/// A server that runs. Dropped, it ends at once.
pub struct Running {
    runtime: Runtime,
    hub: Closing,
    address: SocketAddr,
    stops: watch::Sender<u8>,
    accepting: JoinHandle<GracefulShutdown>,
}

/// Tells a server to stop: a clone can go to the handler of a signal.
#[derive(Clone, Debug)]
pub struct Stopper(watch::Sender<u8>);

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Stopped {
    /// What ran was finished, or nothing ran.
    Finished,
    /// What ran was cancelled.
    Cancelled,
    /// What ran did not end although it was cancelled; its thread is left behind.
    Abandoned,
}

/// Bytes of the head of a request.
const LONGEST_HEAD: usize = 32 << 10;
/// Headers of a request.
const MOST_HEADERS: usize = 64;
/// How long what was cancelled may take to notice, and answers to be sent, when the server stops.
const LAST: Duration = Duration::from_secs(5);
/// Least that a store may read of an explanation.
const STORED_BYTES: u64 = 1 << 30;

/// Starts a server. It has threads of its own; this returns as soon as it listens.
///
/// # Errors
/// [`Error`].
pub fn serve(model: impl Model, options: ServerOptions) -> Result<Running, Error> {
    let ServerOptions { address, host_names, token, store, limits, log } = options;
    limits.check()?;
    if !address.ip().to_canonical().is_loopback() && token.is_none() {
        return Err(Error::Open(address));
    }
    let store = store.map(|folder| Store::open(&folder, limits.kept_bytes.max(STORED_BYTES)));
    let store = store.transpose()?;
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(8)
        .thread_name("http")
        .enable_all()
        .build()
        .map_err(Error::Thread)?;
    let bind = |error| Error::Bind { address, error };
    let listener = runtime.block_on(TcpListener::bind(address)).map_err(bind)?;
    let bound = listener.local_addr().map_err(bind)?;
    let openapi = openapi::description(token.is_some());
    let openapi = openapi.map_err(Error::Description)?;
    let hub = Arc::new(Hub::new(Given {
        engine: engine(model),
        names: Names::new(bound, &host_names)?,
        limits,
        token,
        log,
        store,
        runtime: runtime.handle().clone(),
        openapi: openapi.into(),
    }));
    let queue = Arc::clone(&hub);
    let spawned =
        thread::Builder::new().name("model".to_owned()).spawn(move || worker::work(&queue));
    spawned.map_err(Error::Thread)?;
    runtime.spawn(sweep(Arc::clone(&hub)));
    let stops = watch::Sender::new(0);
    let front = Front {
        router: router(Arc::clone(&hub)),
        patience: hub.limits.patience,
        connections: Arc::new(Semaphore::new(hub.limits.connections)),
    };
    let (ended, accepting) = (stops.subscribe(), front);
    let accepting = runtime.spawn(accepting.accept(listener, ended));
    Ok(Running { runtime, hub: Closing(hub), address: bound, stops, accepting })
}

/// Lets go what has expired.
async fn sweep(hub: Arc<Hub>) {
    let often = (hub.limits.kept / 4).clamp(Duration::from_millis(50), Duration::from_secs(10));
    loop {
        sleep(often).await;
        hub.shelf.sweep();
    }
}

/// A connection that is cut when the client takes nothing of what is sent to it.
type Stream = TokioIo<Pin<Box<TimeoutStream<TcpStream>>>>;

/// What stands between the network and the routes.
struct Front {
    router: Router,
    patience: Duration,
    connections: Arc<Semaphore>,
}

/// A number of stops after which no connection is accepted.
const CLOSED: u8 = u8::MAX;

impl Front {
    /// Accepts until it is told not to.
    async fn accept(
        self,
        listener: TcpListener,
        mut stops: watch::Receiver<u8>,
    ) -> GracefulShutdown {
        let connections = GracefulShutdown::new();
        loop {
            let next = async {
                let permit = Arc::clone(&self.connections).acquire_owned().await;
                (permit, listener.accept().await)
            };
            let (permit, stream) = tokio::select! {
                next = next => next,
                _ = stops.wait_for(|stops| *stops == CLOSED) => return connections,
            };
            let Ok(permit) = permit else { return connections };
            let Ok((stream, _)) = stream else {
                // The client has gone already, or the system is out of files: some will be closed.
                sleep(Duration::from_millis(50)).await;
                continue;
            };
            let connection = connections.watch(self.connection(stream));
            tokio::spawn(async move {
                // A client that goes, or sends no HTTP, is no concern of the log.
                _ = connection.await;
                drop(permit);
            });
        }
    }

    fn connection(
        &self,
        stream: TcpStream,
    ) -> http1::Connection<Stream, TowerToHyperService<Router>> {
        _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.patience));
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.patience)
            .max_buf_size(LONGEST_HEAD)
            .max_headers(MOST_HEADERS)
            .serve_connection(
                TokioIo::new(Box::pin(stream)),
                TowerToHyperService::new(self.router.clone()),
            )
    }
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What tells it to stop.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stops.clone())
    }

    /// Serves until a [`Stopper`] says that it should stop. Then what waits is cancelled, nothing new is taken, and what runs has `grace` to
    /// finish, or until the stopper says it again.
    pub fn wait(self, grace: Duration) -> Stopped {
        let Self { runtime, hub, stops, accepting, .. } = self;
        let hub = &hub.0;
        let stopped = runtime.block_on(async {
            let mut asked = stops.subscribe();
            _ = asked.wait_for(|stops| 0 < *stops).await;
            hub.close();
            let again = async { _ = asked.wait_for(|stops| 1 < *stops).await };
            let finished = tokio::select! {
                finished = idle(hub, grace) => finished,
                () = again => hub.is_idle(),
            };
            let stopped = if finished {
                Stopped::Finished
            } else {
                hub.cancel_running();
                if idle(hub, LAST).await { Stopped::Cancelled } else { Stopped::Abandoned }
            };
            stops.send_replace(CLOSED);
            if let Ok(connections) = accepting.await {
                _ = timeout(LAST, connections.shutdown()).await;
            }
            stopped
        });
        runtime.shutdown_timeout(Duration::from_millis(100));
        stopped
    }

    /// Stops it: [`Stopper::stop`] and [`Running::wait`].
    pub fn stop(self, grace: Duration) -> Stopped {
        self.stopper().stop();
        self.wait(grace)
    }
}

/// Ends the thread of the queue, whatever becomes of the rest.
struct Closing(Arc<Hub>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
        self.0.cancel_running();
    }
}

/// Whether what runs has ended within this time.
async fn idle(hub: &Hub, within: Duration) -> bool {
    let start = Instant::now();
    loop {
        if hub.is_idle() {
            return true;
        }
        if within <= start.elapsed() {
            return false;
        }
        sleep(Duration::from_millis(10)).await;
    }
}

impl Stopper {
    /// Tells the server to stop; told again, it does not wait for what runs.
    pub fn stop(&self) {
        self.0.send_modify(|stops| *stops = stops.saturating_add(1).min(CLOSED - 1));
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("address", &self.address).finish_non_exhaustive()
    }
}
