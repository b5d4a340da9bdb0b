//! Wheels: their requirements, and unpacking chosen members against the checksums of RECORD.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use zip::ZipArchive;

/// An open wheel.
pub(crate) struct Wheel {
    name: String,
    archive: ZipArchive<BufReader<File>>,
}

/// A file that was unpacked: its path below the folder of the layout, and its size.
pub(crate) type Unpacked = (PathBuf, u64);

impl Wheel {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let file =
            File::open(path).with_context(|| format!("could not open {}", path.display()))?;
        let archive = ZipArchive::new(BufReader::new(file))
            .with_context(|| format!("{name} is no zip archive"))?;
        Ok(Self { name, archive })
    }

    /// The `Requires-Dist` entries of METADATA.
    pub(crate) fn requirements(&mut self) -> Result<Vec<Requirement>> {
        let text = self.dist_info("METADATA")?;
        let header = text.split("\n\n").next().unwrap_or_default();
        let values = header.lines().filter_map(|line| line.strip_prefix("Requires-Dist:"));
        Ok(values.map(Requirement::parse).collect())
    }

    /// Unpacks what `place` gives a path to, each file compared with the size and SHA-256 of RECORD.
    pub(crate) fn unpack(
        &mut self,
        into: &Path,
        place: impl Fn(&str) -> Option<PathBuf>,
    ) -> Result<Vec<Unpacked>> {
        let record = parse_record(&self.dist_info("RECORD")?)?;
        let mut unpacked = Vec::new();
        for index in 0..self.archive.len() {
            let member = self.archive.by_index(index)?;
            let name = member.name().to_owned();
            let Some(relative) = place(&name).filter(|_| !member.is_dir()) else { continue };
            ensure!(is_plain(&relative), "{}: member {name} leads outside the folder", self.name);
            let entry =
                record.get(&name).with_context(|| format!("{}: RECORD lacks {name}", self.name))?;
            let target = into.join(&relative);
            copy_verified(member, &target, entry)
                .with_context(|| format!("{}: {name}", self.name))?;
            unpacked.push((relative, entry.size));
        }
        Ok(unpacked)
    }

    fn dist_info(&mut self, file: &str) -> Result<String> {
        let is_it = |name: &&str| {
            name.split_once('/')
                .is_some_and(|(folder, rest)| folder.ends_with(".dist-info") && rest == file)
        };
        let found = self.archive.file_names().find(is_it).map(str::to_owned);
        let name = found.with_context(|| format!("{} has no {file}", self.name))?;
        let mut text = String::new();
        self.archive.by_name(&name)?.read_to_string(&mut text)?;
        Ok(text)
    }
}

/// One requirement of a package, in the parts that matter here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Requirement {
    /// `nvidia-cuda-runtime`, say.
    pub(crate) name: String,
    /// What stands in brackets after the name.
    pub(crate) extras: Vec<String>,
    /// `==13.0.3`, or empty.
    pub(crate) version: String,
    /// Whether only an extra of the requiring package asks for it.
    pub(crate) optional: bool,
}

impl Requirement {
    /// Reads `name[extra,…] (version) ; marker`.
    fn parse(text: &str) -> Self {
        let (specifier, marker) = text.split_once(';').unwrap_or((text, ""));
        let specifier: String =
            specifier.chars().filter(|c| !c.is_whitespace() && !"()".contains(*c)).collect();
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let end = specifier.find(|c| !is_name(c)).unwrap_or(specifier.len());
        let (name, rest) = specifier.split_at(end);
        let (extras, version) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((extras, version)) => (extras.split(',').map(str::to_owned).collect(), version),
            None => (Vec::new(), rest),
        };
        Self {
            name: name.to_lowercase().replace(['_', '.'], "-"),
            extras,
            version: version.to_owned(),
            optional: marker.contains("extra =="),
        }
    }

    /// As pip takes it.
    pub(crate) fn specifier(&self) -> String {
        let extras = if self.extras.is_empty() {
            String::new()
        } else {
            format!("[{}]", self.extras.join(","))
        };
        format!("{}{extras}{}", self.name, self.version)
    }
}

struct RecordEntry {
    sha256: String,
    size: u64,
}

/// `path,sha256=…,size`, from the right, because a path may hold commas (then it is quoted).
fn parse_record(text: &str) -> Result<HashMap<String, RecordEntry>> {
    let mut entries = HashMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let mut parts = line.rsplitn(3, ',');
        let (Some(size), Some(hash), Some(path)) = (parts.next(), parts.next(), parts.next())
        else {
            bail!("a line of RECORD is not `path,hash,size`: {line}");
        };
        // RECORD itself and signatures stand there without a hash; nothing without one is ever unpacked.
        let (Some(sha256), Ok(size)) = (hash.strip_prefix("sha256="), size.parse()) else {
            continue;
        };
        let path = path.trim_matches('"').replace("\"\"", "\"");
        entries.insert(path, RecordEntry { sha256: sha256.to_owned(), size });
    }
    Ok(entries)
}

fn is_plain(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_)))
}

fn copy_verified(mut source: impl Read, target: &Path, entry: &RecordEntry) -> Result<()> {
    if let Some(folder) = target.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = File::create(target)?;
    let (size, hash) = copy_hashed(&mut source, &mut file)?;
    ensure!(size == entry.size, "{size} bytes, RECORD says {}", entry.size);
    ensure!(hash == entry.sha256, "SHA-256 {hash}, RECORD says {}", entry.sha256);
    Ok(())
}

fn copy_hashed(source: &mut impl Read, target: &mut impl Write) -> Result<(u64, String)> {
    let mut buffer = vec![0; 1 << 20];
    let (mut size, mut hasher) = (0, Sha256::new());
    loop {
        let count = source.read(&mut buffer)?;
        if count == 0 {
            return Ok((size, base64_url(&hasher.finalize())));
        }
        hasher.update(&buffer[..count]);
        target.write_all(&buffer[..count])?;
        size += count as u64;
    }
}

/// Base64 with `-` and `_` and without padding (RFC 4648 §5), as RECORD writes hashes.
fn base64_url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, &byte| word << 8 | u32::from(byte))
            << (8 * (3 - chunk.len()));
        let digits =
            (0..=chunk.len()).map(|i| ALPHABET[(word >> (18 - 6 * i)) as usize & 63] as char);
        text.extend(digits);
    }
    text
}

#[cfg(test)]
mod tests {
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    /// A wheel with the given members; the hash of "abc" is FIPS 180's.
    fn wheel(folder: &Path, members: &[(&str, &str)]) -> PathBuf {
        let path = folder.join("small-1-py3-none-any.whl");
        let mut writer = ZipWriter::new(File::create(&path).unwrap());
        for (name, text) in members {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(text.as_bytes()).unwrap();
        }
        writer.finish().unwrap();
        path
    }

    const ABC: &str = "sha256=ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0";

    fn unpack(record: &str, name: &str) -> Result<Vec<Unpacked>> {
        let folder = tempfile::tempdir().unwrap();
        let path = wheel(folder.path(), &[(name, "abc"), ("small-1.dist-info/RECORD", record)]);
        let out = folder.path().join("out");
        let unpacked = Wheel::open(&path)?
            .unpack(&out, |name| Some(name.into()).filter(|_| !name.contains("RECORD")))?;
        assert_eq!(std::fs::read_to_string(out.join(name)).unwrap(), "abc");
        Ok(unpacked)
    }

    #[test]
    fn unpacks_what_the_record_vouches_for() {
        assert_eq!(
            unpack(&format!("a/b.so,{ABC},3\n"), "a/b.so").unwrap(),
            [(PathBuf::from("a/b.so"), 3)]
        );
        assert_eq!(
            unpack(&format!("\"a,b.so\",{ABC},3\n"), "a,b.so").unwrap(),
            [(PathBuf::from("a,b.so"), 3)]
        );
    }

    #[test]
    fn refuses_another_hash_another_size_and_the_unlisted() {
        let wrong_hash = ABC.replace("ung", "gun");
        for (record, message) in [
            (format!("a/b.so,{wrong_hash},3\n"), "SHA-256"),
            (format!("a/b.so,{ABC},4\n"), "3 bytes, RECORD says 4"),
            ("a/b.so,,\n".to_owned(), "RECORD lacks a/b.so"),
            ("nonsense\n".to_owned(), "is not `path,hash,size`"),
        ] {
            let error = format!("{:#}", unpack(&record, "a/b.so").unwrap_err());
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn refuses_to_leave_the_folder() {
        let error = unpack(&format!("../b.so,{ABC},3\n"), "../b.so").unwrap_err().to_string();
        assert!(error.contains("leads outside"), "{error}");
    }

    #[test]
    fn reads_requirements() {
        let folder = tempfile::tempdir().unwrap();
        let metadata = "Name: small\nRequires-Dist: jinja2\nRequires-Dist: cuda-toolkit[cudart,cupti]==13.0.3; \
                        platform_system == \"Linux\"\nRequires-Dist: Nvidia_NCCL (==2.2); extra == 'x'\n\nRequires-Dist: text";
        let path = wheel(folder.path(), &[("small-1.dist-info/METADATA", metadata)]);
        let found = Wheel::open(&path).unwrap().requirements().unwrap();
        let shown: Vec<_> = found.iter().map(|r| (r.specifier(), r.optional)).collect();
        let expected = [
            ("jinja2", false),
            ("cuda-toolkit[cudart,cupti]==13.0.3", false),
            ("nvidia-nccl==2.2", true),
        ];
        assert_eq!(shown, expected.map(|(text, optional)| (text.to_owned(), optional)));
    }

    #[test]
    fn base64_of_every_remainder() {
        assert_eq!(base64_url(b""), "");
        assert_eq!(base64_url(b"f"), "Zg");
        assert_eq!(base64_url(b"fo"), "Zm8");
        assert_eq!(base64_url(b"foo"), "Zm9v");
        assert_eq!(base64_url(&[0xfb, 0xff]), "-_8");
    }
}
