//! A data set in an object store.

use std::fs::{self, File};
use std::path::Path as LocalPath;

use futures_util::TryStreamExt as _;
use object_store::{Error as StoreError, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};

use super::{Address, Cloud, problem};
use crate::dataset::rows::Flats;
use crate::dataset::store::{HEADER, RESULTS, Store, part_number};
use crate::dataset::{DataSet, Header, Opening, Rows, file_problem, is_left_by_opening, put_local};
use crate::{Problem, ProblemKind, Shard};

/// Bytes of a part.
const LARGEST_PART: u64 = 4 << 30;
/// Bytes of a header.
const LARGEST_HEADER: u64 = 1 << 20;
/// The file of a local folder that says to which data set its journals belong.
const PLACE: &str = ".place";

/// A data set in an object store, and the local folder of its journals and locks.
#[derive(Clone, Copy, Debug)]
pub struct RemoteSet<'a> {
    /// Access.
    pub cloud: &'a Cloud,
    /// That of the data set, in the place of its folder.
    pub address: &'a Address,
    /// The folder of journals and locks, which is made if needed. Keep it until the batch is done: what is done and in no part yet is there
    /// alone.
    pub local: &'a LocalPath,
}

impl DataSet {
    /// Opens a data set in an object store, as [`DataSet::open`] does one in a folder. Parts are put there whole; what is in no part yet is
    /// in the journal, which is local.
    ///
    /// Locks are local too: no two machines may write the same shard. Where they do, a part that is there already is never replaced: the
    /// second gets an error.
    ///
    /// # Errors
    /// Those of [`DataSet::open`], and [`ProblemKind::File`] when the store cannot be reached. [`ProblemKind::Option`] for
    /// [`Opening::retry_errors`] with several shards where a part is of another division: other machines may rewrite it at the same time.
    pub fn open_remote(
        remote: RemoteSet<'_>,
        header: &Header,
        shard: Shard,
        opening: Opening,
    ) -> Result<Self, Problem> {
        let RemoteSet { cloud, address, local } = remote;
        fs::create_dir_all(local).map_err(|error| file_problem("make", local, error))?;
        belongs(local, address, shard)?;
        let store = Bucket { cloud: cloud.clone(), address: address.clone() };
        if store.header()?.is_none() && !store.parts()?.is_empty() {
            let why = "it holds parts and no batch.json; choose another address";
            return Err(problem(&address.join(RESULTS), "use", why));
        }
        if opening.retry_errors && shard != Shard::WHOLE {
            let others = |name: &String| {
                part_number(name).is_some_and(|(of, _)| of.count() != shard.count())
            };
            if let Some(name) = store.parts()?.into_iter().find(others) {
                let message = format!(
                    "{} is of another number of shards: retry errors with a single process, without a shard",
                    store.named(&name)
                );
                return Err(Problem::new(ProblemKind::Option, message));
            }
        }
        Self::open_in(Box::new(store), local, header, (shard, opening))
    }
}

/// The rows of a data set in an object store: see [`crate::dataset::read`].
///
/// # Errors
/// [`ProblemKind::File`] where there is no data set, or it cannot be read.
pub fn read_remote(cloud: &Cloud, address: &Address) -> Result<Rows, Problem> {
    Ok(Rows(Flats::new(bucket(cloud, address)?, |_| true)?))
}

/// The store of an address that has a data set.
pub(crate) fn bucket(cloud: &Cloud, address: &Address) -> Result<Box<dyn Store>, Problem> {
    let store = Bucket { cloud: cloud.clone(), address: address.clone() };
    if store.header()?.is_none() {
        return Err(problem(address, "use", "it holds no data set"));
    }
    Ok(Box::new(store))
}

/// Refuses a local folder of another data set, or of something else.
fn belongs(local: &LocalPath, address: &Address, shard: Shard) -> Result<(), Problem> {
    let path = local.join(PLACE);
    let wrong = |why: &str| {
        let message = format!(
            "the journals of {address} cannot be in {}: {why}; choose another folder for them",
            local.display()
        );
        Err(Problem::new(ProblemKind::Option, message))
    };
    match fs::read(&path) {
        Ok(found) if found == address.to_string().as_bytes() => Ok(()),
        Ok(_) => wrong("it has those of another data set"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let failed = |error| file_problem("read", local, error);
            for entry in fs::read_dir(local).map_err(failed)? {
                let name = entry.map_err(failed)?.file_name();
                if !name.to_str().is_some_and(is_left_by_opening) && name != PLACE {
                    return wrong("it holds something else");
                }
            }
            put_local(local, shard, &path, address.to_string().as_bytes())
        }
        Err(error) => Err(file_problem("read", &path, error)),
    }
}

#[cfg(feature = "page")]
impl Cloud {
    /// The first 4096 bytes of a file, if it is there.
    pub(crate) fn begin(&self, address: &Address) -> Result<Option<Vec<u8>>, Problem> {
        let (store, path) = self.store(address)?;
        self.wait(address, "read", async {
            let failed = |error: StoreError| problem(address, "read", &error.to_string());
            let size = match store.head(&path).await {
                Err(StoreError::NotFound { .. }) => return Ok(None),
                found => found.map_err(failed)?.size.min(4096),
            };
            if size == 0 {
                return Ok(Some(Vec::new()));
            }
            Ok(Some(store.get_range(&path, 0..size).await.map_err(failed)?.to_vec()))
        })
    }

    /// Puts a file there, whole or not at all; one that is there is replaced.
    pub(crate) fn replace(&self, address: &Address, bytes: Vec<u8>) -> Result<(), Problem> {
        let (store, path) = self.store(address)?;
        self.wait(address, "write", async {
            let put = store.put(&path, bytes.into()).await;
            put.map(|_| ()).map_err(|error| problem(address, "write", &error.to_string()))
        })
    }
}

/// An address under which a data set lies.
#[derive(Debug)]
struct Bucket {
    cloud: Cloud,
    address: Address,
}

impl Bucket {
    fn part(&self, name: &str) -> Address {
        self.address.join(RESULTS).join(name)
    }

    fn put_at(&self, address: &Address, bytes: Vec<u8>, mode: PutMode) -> Result<(), Problem> {
        let failed = |error: StoreError| problem(address, "write", &error.to_string());
        let (store, path) = self.cloud.store(address)?;
        let payload = PutPayload::from(bytes);
        let options = PutOptions { mode, ..PutOptions::default() };
        let (sent, size) = (payload.clone(), payload.content_length() as u64);
        let own = self.cloud.wait(address, "write", async {
            match store.put_opts(&path, sent, options).await {
                Ok(_) => Ok(true),
                // A request whose answer was lost is sent again: then it is there because we put it there.
                Err(StoreError::AlreadyExists { .. }) => {
                    if store.head(&path).await.map_err(failed)?.size != size {
                        return Ok(false);
                    }
                    let found = store.get(&path).await.map_err(failed)?;
                    let found = found.bytes().await.map_err(failed)?;
                    Ok(payload.iter().flatten().eq(found.iter()))
                }
                Err(error) => Err(failed(error)),
            }
        })?;
        if own {
            return Ok(());
        }
        Err(problem(
            address,
            "write",
            "something else came there while the batch ran; does another machine write this shard?",
        ))
    }
}

impl Store for Bucket {
    fn parts(&self) -> Result<Vec<String>, Problem> {
        let address = self.address.join(RESULTS);
        let (store, path) = self.cloud.store(&address)?;
        let mut names: Vec<String> = self.cloud.wait(&address, "list", async {
            let listed = store.list(Some(&path)).try_filter_map(|found| async move {
                let name = found.location.filename().map(str::to_owned);
                Ok(name.filter(|name| part_number(name).is_some()))
            });
            listed
                .try_collect()
                .await
                .map_err(|error: StoreError| problem(&address, "list", &error.to_string()))
        })?;
        names.sort_unstable();
        Ok(names)
    }

    fn open(&self, name: &str) -> Result<File, Problem> {
        Ok(self.cloud.download(&self.part(name), LARGEST_PART)?.into_file())
    }

    fn put(&self, name: &str, bytes: Vec<u8>, replace: bool) -> Result<(), Problem> {
        let mode = if replace { PutMode::Overwrite } else { PutMode::Create };
        self.put_at(&self.part(name), bytes, mode)
    }

    fn remove(&self, name: &str) -> Result<(), Problem> {
        let address = self.part(name);
        let (store, path) = self.cloud.store(&address)?;
        self.cloud.wait(&address, "remove", async {
            match store.delete(&path).await {
                Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
                Err(error) => Err(problem(&address, "remove", &error.to_string())),
            }
        })
    }

    fn header(&self) -> Result<Option<Vec<u8>>, Problem> {
        let address = self.address.join(HEADER);
        let (store, path) = self.cloud.store(&address)?;
        let found = self.cloud.wait(&address, "read", async {
            match store.head(&path).await {
                Ok(_) => Ok(true),
                Err(StoreError::NotFound { .. }) => Ok(false),
                Err(error) => Err(problem(&address, "read", &error.to_string())),
            }
        })?;
        if found { self.cloud.read(&address, LARGEST_HEADER).map(Some) } else { Ok(None) }
    }

    fn put_header(&self, bytes: Vec<u8>) -> Result<(), Problem> {
        self.put_at(&self.address.join(HEADER), bytes, PutMode::Create)
    }

    fn named(&self, name: &str) -> String {
        self.part(name).to_string()
    }

    fn named_header(&self) -> String {
        self.address.join(HEADER).to_string()
    }
}
