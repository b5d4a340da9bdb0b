//! Folders that `report` reads: records, arrays and pictures that somebody else wrote.

use std::io::{Cursor, Read as _, Write as _};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use super::{Surface, no_files};
use crate::attack::case::{Call, Case, What};
use crate::attack::material::Material;
use crate::attack::{mutate, picture};
use checkpoint_files::random::SplitMix;

pub(super) const SURFACE: Surface = Surface { name: "stored folders", fixed, random };

const RECORD: &str = "explanation.json";
const ARRAYS: &str = "explanation.npz";
/// An array that every page needs.
const READ: &str = "token_relevancy.npy";

fn report() -> Call {
    Call::new(["report", "stored", "--out", "out.html"])
}

fn stored_with(title: &str, file: &str, what: What) -> Case {
    Case::new(title).with("stored", What::Stored).with(format!("stored/{file}"), what)
}

fn record(material: &Material) -> Result<Value> {
    Ok(serde_json::from_slice(&std::fs::read(material.stored()?.join(RECORD))?)?)
}

/// The arrays' names and bytes.
fn arrays(material: &Material) -> Result<Vec<(String, Vec<u8>)>> {
    let file = std::fs::read(material.stored()?.join(ARRAYS))?;
    let mut archive = ZipArchive::new(Cursor::new(file))?;
    (0..archive.len())
        .map(|index| {
            let mut entry = archive.by_index(index)?;
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            Ok((entry.name().to_owned(), bytes))
        })
        .collect()
}

fn archive(arrays: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in arrays {
        writer.start_file(name.as_str(), SimpleFileOptions::default())?;
        writer.write_all(bytes)?;
    }
    Ok(writer.finish()?.into_inner())
}

fn fixed(material: &Material) -> Result<Vec<Case>> {
    let mut cases =
        vec![Case::new("a good folder").with("stored", What::Stored).call(report().done())];
    let mut refused = |title: &str, file: &'static str, what| {
        cases.push(stored_with(title, file, what).call(report().refused(&[file])));
    };
    for (name, what) in no_files() {
        refused(name, RECORD, what.clone());
        refused(name, ARRAYS, what.clone());
        refused(name, "picture-0.png", what);
    }
    refused("nested record", RECORD, What::File(mutate::nested(100_000).into()));
    refused("larger than any", RECORD, What::Zeros(1 << 33));
    refused(
        "a picture of another size",
        "picture-0.png",
        What::File(picture::black_png(20_000, 20_000, 20_000)),
    );
    for (title, name, told) in [
        ("file that climbs", "../../picture.png", "not in the folder"),
        ("absolute file", "/etc/hostname", "not in the folder"),
        ("control characters in a file's name", "\u{1b}[31mx\u{202e}.png", "x\\u{202e}.png"),
    ] {
        let mut changed = record(material)?;
        changed["pictures"][0]["file"] = json!(name);
        let case = stored_with(title, RECORD, What::File(changed.to_string().into()));
        cases.push(case.call(report().refused(&[told])));
    }
    for (title, place, value) in [
        ("grid of 2⁶³", "/images/0/grid", json!([1_u64 << 32, 1_u64 << 31])),
        ("size of 2³¹", "/pictures/0/width", json!(1_u64 << 31)),
        ("positions past the end", "/images/0/positions", json!([0, u64::MAX])),
        ("another schema", "/schema", json!("\u{1b}[31mother")),
        ("another version", "/version", json!(u64::MAX)),
    ] {
        let mut changed = record(material)?;
        *changed.pointer_mut(place).with_context(|| format!("the record has no {place}"))? = value;
        let case = stored_with(title, RECORD, What::File(changed.to_string().into()));
        cases.push(case.call(report().refused(&[RECORD])));
    }
    cases.extend(array_cases(material)?);
    let mut changed = record(material)?;
    changed["answer"] = json!("</script><script>alert(1)</script>");
    changed["prompt"] = json!("\"'><img src=x onerror=alert(1)>");
    let case = stored_with("markup in texts", RECORD, What::File(changed.to_string().into()));
    cases.push(case.call(report()));
    Ok(cases)
}

/// Archives that claim more than they hold, or hold more than they claim.
fn array_cases(material: &Material) -> Result<Vec<Case>> {
    let good = arrays(material)?;
    let mut cases = Vec::new();
    let mut case = |title: &str, arrays: &[(String, Vec<u8>)]| -> Result<()> {
        let case = stored_with(title, ARRAYS, What::File(archive(arrays)?));
        cases.push(case.call(report().refused(&[ARRAYS])));
        Ok(())
    };
    let with_header = |shape: &str| {
        let mut changed = good.clone();
        for (name, bytes) in &mut changed {
            if name == READ {
                *bytes = npy(shape, b"");
            }
        }
        changed
    };
    case("shape of 2⁶³", &with_header("(9223372036854775807,)"))?;
    case("shape that overflows", &with_header("(4294967296, 4294967296, 16, 16)"))?;
    case("shape that is not there", &with_header("(1000000, 1, 16, 16)"))?;
    case("shape that is code", &with_header("(__import__('os').system('x'),)"))?;
    let mut bomb = good.clone();
    for (name, bytes) in &mut bomb {
        if name == READ {
            *bytes = npy("(262144, 1, 16, 16)", &vec![0; 1 << 28]);
        }
    }
    case("256 MiB of zeros", &bomb)?;
    case("no array", &[])?;
    Ok(cases)
}

/// A little-endian float32 array.
fn npy(shape: &str, data: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    while !(10 + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\0", &length[..], header.as_bytes(), data].concat()
}

fn random(material: &Material, random: &mut SplitMix) -> Result<Case> {
    let (file, bytes) = match random.below(4) {
        0 => {
            let mut arrays = arrays(material)?;
            let index = random.below(arrays.len());
            // Mostly in the header of an array.
            let mut head = std::mem::take(&mut arrays[index].1);
            let rest = head.split_off(head.len().min(1 << (5 + random.below(8))));
            arrays[index].1 = [mutate::bytes(random, &head), rest].concat();
            if random.once_in(4) {
                arrays[index].0 =
                    mutate::text(random, &arrays[index].0.clone()).chars().take(60_000).collect();
            }
            (ARRAYS, archive(&arrays)?)
        }
        1 => {
            let file = std::fs::read(material.stored()?.join(ARRAYS))?;
            (ARRAYS, mutate::bytes(random, &file))
        }
        _ => (RECORD, mutate::json(random, &record(material)?)),
    };
    let case = stored_with(&format!("changed {file}"), file, What::File(bytes));
    Ok(case.call(report()))
}
