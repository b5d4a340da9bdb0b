//! Bytes with a known end, from a file or from memory.

use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::ops::Range;

/// What elements are read from.
pub(crate) trait Bytes: Read + Seek {}
impl<T: Read + Seek> Bytes for T {}

/// Bytes with a known end, and where one is in them.
pub(crate) struct Source {
    inner: BufReader<Box<dyn Bytes>>,
    at: u64,
    len: u64,
}

impl Source {
    pub(crate) fn new(inner: impl Bytes + 'static, len: u64) -> Self {
        Self { inner: BufReader::with_capacity(1 << 14, Box::new(inner)), at: 0, len }
    }

    pub(crate) fn of_bytes(bytes: Vec<u8>) -> Self {
        let len = bytes.len() as u64;
        Self::new(Cursor::new(bytes), len)
    }

    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The next `N` bytes; an error at the end.
    pub(crate) fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes)?;
        self.at += N as u64;
        Ok(bytes)
    }

    /// Goes to a place that lies within the bytes.
    pub(crate) fn go(&mut self, to: u64) -> io::Result<()> {
        match i64::try_from(i128::from(to) - i128::from(self.at)) {
            Ok(step) => self.inner.seek_relative(step)?,
            Err(_) => {
                self.inner.seek(SeekFrom::Start(to))?;
            }
        }
        self.at = to;
        Ok(())
    }

    /// These bytes. Nothing larger than what is there is made.
    pub(crate) fn range(&mut self, range: Range<u64>) -> io::Result<Vec<u8>> {
        if self.len < range.end || range.end < range.start {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.go(range.start)?;
        let wanted = (range.end - range.start) as usize;
        let mut bytes = vec![0; wanted];
        self.inner.read_exact(&mut bytes)?;
        self.at = range.end;
        Ok(bytes)
    }
}
