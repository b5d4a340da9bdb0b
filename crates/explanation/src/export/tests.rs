//! Folders, without a model.

use std::fs;

use super::*;
use crate::file_name::{ARRAYS, RECORD};

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn folders_made_for_nothing_go_and_others_stay() {
    let root = tempfile::tempdir().unwrap();
    let kept = root.path().join("kept");
    fs::create_dir(&kept).unwrap();
    drop(OutputFolder::create(&kept.join("a/b"), &[]).unwrap());
    assert_eq!(names(&kept), [""; 0]);
    drop(OutputFolder::create(&kept, &[]).unwrap());
    assert!(kept.is_dir());

    let file = root.path().join("file");
    fs::write(&file, "x").unwrap();
    let error = OutputFolder::create(&file, &[]).unwrap_err().to_string();
    assert_eq!(error, format!("cannot write {}: not a directory", file.display()));
    assert!(OutputFolder::create(&file.join("a"), &[]).is_err());
    assert_eq!(fs::read_to_string(&file).unwrap(), "x");
}

/// Results, made by hand: files with a record that lists them.
fn results(folder: &Path, files: &[(&str, &str)]) {
    let zeros = "0".repeat(64);
    let written: Vec<WrittenFile> = files
        .iter()
        .map(|(name, content)| {
            fs::write(folder.join(name), content).unwrap();
            WrittenFile::new(name, content.as_bytes())
        })
        .collect();
    let record = |checksum: &str| {
        serde_json::json!({
            "schema": crate::SCHEMA, "files": {"written": written, "record_sha256": checksum}
        })
        .to_string()
    };
    let checksum = crate::record::sha256(record(&zeros).as_bytes());
    fs::write(folder.join(RECORD), record(&checksum)).unwrap();
}

/// Puts results in place, as `write` does.
fn place(folder: &Path, files: &[(&str, &str)]) -> Result<(), Error> {
    let output = OutputFolder::create(folder, &[])?;
    results(output.workplace.staging(), files);
    output.guard.place(&output.workplace)
}

#[test]
fn only_what_was_written_is_replaced_or_removed() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path();
    fs::write(folder.join("notes.txt"), "mine").unwrap();
    place(folder, &[("picture-0.png", "a"), ("overlay-0-0.png", "b"), ("both.png", "c")]).unwrap();
    place(folder, &[("picture-0.png", "d"), ("images-0.png", "e")]).unwrap();
    assert_eq!(names(folder), [RECORD, "images-0.png", "notes.txt", "picture-0.png"]);
    assert_eq!(fs::read_to_string(folder.join("picture-0.png")).unwrap(), "d");

    let refused = |name: &str| {
        let before = names(folder);
        let error = OutputFolder::create(folder, &[]).unwrap_err();
        assert!(matches!(&error, Error::Foreign { files, .. } if files == &[name]), "{error}");
        assert_eq!(names(folder), before);
        error.to_string()
    };
    fs::write(folder.join("picture-9.png"), "mine").unwrap();
    assert!(refused("picture-9.png").contains("another folder"));
    fs::remove_file(folder.join("picture-9.png")).unwrap();
    fs::create_dir(folder.join("picture-9.png")).unwrap();
    refused("picture-9.png");
    fs::remove_dir(folder.join("picture-9.png")).unwrap();
    fs::write(folder.join("images-0.png"), "f").unwrap();
    refused("images-0.png");
    fs::remove_file(folder.join("images-0.png")).unwrap();
    fs::write(folder.join("Report.HTML"), "mine").unwrap();
    refused("Report.HTML");
    fs::remove_file(folder.join("Report.HTML")).unwrap();
    OutputFolder::create(folder, &[]).unwrap();

    fs::write(folder.join("both.png"), "mine").unwrap();
    let mut output = OutputFolder::create(folder, &[]).unwrap();
    assert!(output.reserve("both.png").is_err());
}

#[test]
fn what_is_put_there_while_the_model_runs_is_seen() {
    let root = tempfile::tempdir().unwrap();
    let output = OutputFolder::create(root.path(), &[]).unwrap();
    results(output.workplace.staging(), &[("picture-0.png", "a"), ("images-0.png", "b")]);
    fs::write(root.path().join("images-0.png"), "mine").unwrap();
    let error = output.guard.place(&output.workplace).unwrap_err().to_string();
    assert!(error.contains("images-0.png"), "{error}");
    drop(output);
    assert_eq!(names(root.path()), ["images-0.png"]);
    assert_eq!(fs::read_to_string(root.path().join("images-0.png")).unwrap(), "mine");
}

#[test]
fn an_input_is_never_replaced_whatever_it_is_called() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("out");
    place(&folder, &[("picture-0.png", "a"), ("overlay-0-0.png", "b")]).unwrap();
    let picture = folder.join("picture-0.png");
    let mut inputs = vec![picture.clone()];
    #[cfg(unix)]
    {
        let [link, hard] = ["link.png", "hard.png"].map(|name| root.path().join(name));
        std::os::unix::fs::symlink(&picture, &link).unwrap();
        fs::hard_link(&picture, &hard).unwrap();
        inputs.extend([link, hard]);
    }
    for input in inputs {
        let error = OutputFolder::create(&folder, &[&input]).unwrap_err();
        assert!(matches!(error, Error::IsInput { .. }), "{error}");
        assert!(error.to_string().contains("picture-0.png"), "{error}");
    }
    assert_eq!(fs::read_to_string(picture).unwrap(), "a");
    OutputFolder::create(&folder, &[root.path()]).unwrap();
}

/// Whatever was renamed and removed when the process ended: the next one finishes it.
#[test]
fn a_process_that_ended_in_the_middle_is_finished_by_the_next() {
    let new = [("picture-0.png", "new"), ("images-0.png", "new"), (ARRAYS, "new")];
    for ended_after in 0..=4 {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path();
        place(folder, &[("picture-0.png", "old"), ("words-0.png", "old"), (ARRAYS, "old")])
            .unwrap();
        let output = OutputFolder::create(folder, &[]).unwrap();
        let staging = output.workplace.staging().to_owned();
        results(&staging, &new);
        fs::copy(folder.join(RECORD), staging.join(".earlier.json")).unwrap();
        fs::write(staging.join(".placing"), "").unwrap();
        let names_of_new = new.iter().map(|(name, _)| *name).chain([RECORD]);
        for name in names_of_new.take(ended_after) {
            fs::rename(staging.join(name), folder.join(name)).unwrap();
        }
        drop(output); // it leaves the hidden folder, as one that was killed
        assert!(staging.join(".placing").exists());

        fs::write(folder.join("report.html"), "mine").unwrap();
        assert!(matches!(OutputFolder::create(folder, &[]), Err(Error::Foreign { .. })));
        fs::remove_file(folder.join("report.html")).unwrap();
        drop(OutputFolder::create(folder, &[]).unwrap());
        assert_eq!(names(folder), [RECORD, ARRAYS, "images-0.png", "picture-0.png"]);
        for (name, content) in new {
            assert_eq!(fs::read_to_string(folder.join(name)).unwrap(), content);
        }
    }
}
