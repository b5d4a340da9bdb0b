//! Files in object stores: Amazon S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage.
//!
//! Who may read and write is said by the variables that programs for these stores use (`AWS_ACCESS_KEY_ID`, `AWS_REGION`,
//! `AWS_ENDPOINT_URL`, `GOOGLE_APPLICATION_CREDENTIALS`, `AZURE_STORAGE_ACCOUNT_NAME`, …), or by the machine's own role. Files of profiles
//! (`~/.aws/credentials`) are not read.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io::{Seek, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt as _, RetryConfig};
use tokio::runtime::Runtime;

use crate::{Problem, ProblemKind};

#[cfg(feature = "page")]
pub(crate) use results::bucket;
#[cfg(feature = "parquet")]
pub use results::{RemoteSet, read_remote};

#[cfg(feature = "parquet")]
mod results;

/// Bytes of a picture, by default.
pub const LARGEST_PICTURE: u64 = 512 << 20;
/// The time that a read or write may take, by default.
pub const PATIENCE: Duration = Duration::from_mins(5);

/// An address in an object store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    scheme: Scheme,
    bucket: String,
    /// Without a slash at its begin; one at its end is dropped but for an empty key.
    key: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Scheme {
    Amazon,
    Google,
    Azure,
}

impl Address {
    pub(crate) fn new(scheme: &str, rest: &str) -> Result<Self, String> {
        let scheme = match scheme {
            "s3" => Scheme::Amazon,
            "gs" => Scheme::Google,
            _ => Scheme::Azure,
        };
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if bucket.is_empty() || !bucket.chars().all(plain) {
            return Err(
                "the name of the bucket is missing or has characters that no bucket has".to_owned()
            );
        }
        let (bucket, key) = (bucket.to_owned(), key.trim_end_matches('/').to_owned());
        let address = Self { scheme, bucket, key };
        address.path().map_err(|error| error.to_string())?;
        if address.key.chars().any(char::is_control) {
            return Err("its key has control characters".to_owned());
        }
        Ok(address)
    }

    /// What lies under it, by this name; a name that no key may have is an error when it is used.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        let key =
            if self.key.is_empty() { name.to_owned() } else { format!("{}/{name}", self.key) };
        Self { key, ..self.clone() }
    }

    fn path(&self) -> Result<Path, object_store::path::Error> {
        Path::parse(&self.key)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Amazon => "s3",
            Scheme::Google => "gs",
            Scheme::Azure => "az",
        };
        write!(f, "{scheme}://{}/{}", self.bucket, self.key)
    }
}

/// Access to object stores, with connections that are kept. Clones share them.
///
/// Its methods wait for the network; they must not be called from within an asynchronous runtime.
#[derive(Clone)]
pub struct Cloud {
    inner: Arc<Inner>,
}

struct Inner {
    runtime: Runtime,
    patience: Duration,
    stores: Mutex<HashMap<(Scheme, String), Arc<dyn ObjectStore>>>,
}

impl fmt::Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cloud").field("patience", &self.inner.patience).finish_non_exhaustive()
    }
}

impl Cloud {
    /// Every read and write may take so long, retries included.
    ///
    /// # Errors
    /// [`ProblemKind::Internal`] when the system gives no runtime.
    pub fn new(patience: Duration) -> Result<Self, Problem> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| {
                let message = format!("cannot start what talks to object stores: {error}");
                Problem::new(ProblemKind::Internal, message)
            })?;
        let stores = Mutex::default();
        Ok(Self { inner: Arc::new(Inner { runtime, patience, stores }) })
    }

    /// The bytes of a file, at most `limit` of them.
    ///
    /// # Errors
    /// [`ProblemKind::File`] for what is not there, is larger, or cannot be read in time.
    pub fn read(&self, address: &Address, limit: u64) -> Result<Vec<u8>, Problem> {
        let mut bytes = Vec::new();
        self.receive(address, limit, &mut bytes)?;
        Ok(bytes)
    }

    /// A temporary file with the bytes of a file, at most `limit` of them.
    ///
    /// # Errors
    /// Those of [`Cloud::read`], and [`ProblemKind::File`] when the temporary file cannot be written.
    pub fn download(
        &self,
        address: &Address,
        limit: u64,
    ) -> Result<tempfile::NamedTempFile, Problem> {
        let local = |error: std::io::Error| {
            problem(address, "copy to a temporary file", &error.to_string())
        };
        let mut file = tempfile::NamedTempFile::new().map_err(local)?;
        self.receive(address, limit, &mut file)?;
        file.rewind().map_err(local)?;
        Ok(file)
    }

    fn receive(&self, address: &Address, limit: u64, out: &mut impl Write) -> Result<(), Problem> {
        let failed = |why: &str| problem(address, "read", why);
        let too_large = || failed(&format!("it has more than {limit} bytes"));
        let (store, path) = self.store(address)?;
        self.wait(address, "read", async {
            let found = store.get(&path).await.map_err(|error| failed(&error.to_string()))?;
            if limit < found.meta.size {
                return Err(too_large());
            }
            let mut left = limit;
            let mut parts = found.into_stream();
            while let Some(part) = parts.next().await {
                let part = part.map_err(|error| failed(&error.to_string()))?;
                left = left.checked_sub(part.len() as u64).ok_or_else(too_large)?;
                out.write_all(&part).map_err(|error| failed(&error.to_string()))?;
            }
            Ok(())
        })
    }

    /// The store of an address, and its path there.
    fn store(&self, address: &Address) -> Result<(Arc<dyn ObjectStore>, Path), Problem> {
        let path = address.path().map_err(|error| problem(address, "use", &error.to_string()))?;
        let key = (address.scheme, address.bucket.clone());
        let mut stores = self.inner.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = stores.get(&key) {
            return Ok((Arc::clone(store), path));
        }
        let patience = self.inner.patience;
        let client = ClientOptions::new().with_timeout(patience);
        let retry =
            RetryConfig { max_retries: 5, retry_timeout: patience, ..RetryConfig::default() };
        let bucket = &address.bucket;
        let store = match address.scheme {
            Scheme::Amazon => {
                let mut builder = AmazonS3Builder::from_env();
                // Options of the client replace those of the variables, of which a local server needs this one.
                if std::env::var("AWS_ALLOW_HTTP").is_ok_and(|value| value == "true") {
                    builder = builder.with_client_options(client.with_allow_http(true));
                } else {
                    builder = builder.with_client_options(client);
                }
                let built = builder.with_bucket_name(bucket).with_retry(retry).build();
                built.map(|store| Arc::new(store) as Arc<dyn ObjectStore>)
            }
            Scheme::Google => GoogleCloudStorageBuilder::from_env()
                .with_client_options(client)
                .with_bucket_name(bucket)
                .with_retry(retry)
                .build()
                .map(|store| Arc::new(store) as Arc<dyn ObjectStore>),
            Scheme::Azure => MicrosoftAzureBuilder::from_env()
                .with_client_options(client)
                .with_container_name(bucket)
                .with_retry(retry)
                .build()
                .map(|store| Arc::new(store) as Arc<dyn ObjectStore>),
        };
        let store = store.map_err(|error| problem(address, "use", &error.to_string()))?;
        stores.insert(key, Arc::clone(&store));
        Ok((store, path))
    }

    /// Waits for work, but not for ever.
    fn wait<T>(
        &self,
        address: &Address,
        verb: &str,
        work: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        let patience = self.inner.patience;
        self.inner.runtime.block_on(async {
            let late = |_| {
                let why = format!("it takes more than {} seconds", patience.as_secs());
                Err(problem(address, verb, &why))
            };
            tokio::time::timeout(patience, work).await.unwrap_or_else(late)
        })
    }
}

fn problem(address: &Address, verb: &str, why: &str) -> Problem {
    Problem::new(ProblemKind::File, format!("cannot {verb} {address}: {why}"))
}
