//! What lies in a folder for results: the user's files stay, and results of an earlier run are replaced.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::{TempDir, tempdir};

use crate::support::{Run, command, names, record, run, text};

/// A folder with a made-up radiograph, `000.png`, and one for results.
struct Chest {
    root: TempDir,
}

impl Chest {
    fn new() -> Self {
        let root = tempdir().unwrap();
        let set = text(&root.path().join("set"));
        run(["phantom", "--seed", "5", "--size", "64", "--out", &set]).done();
        Self { root }
    }

    fn film(&self) -> PathBuf {
        self.root.path().join("set/000.png")
    }

    fn out(&self) -> PathBuf {
        self.root.path().join("out")
    }

    fn args(&self, picture: &Path, more: &[&str]) -> Vec<String> {
        let (picture, out) = (text(picture), text(&self.out()));
        let args = ["explain", "--model", "phantom", "--image", &picture, "--out", &out];
        let asked = ["--prompt", "Describe the radiograph.", "--answer", "The lungs are clear."];
        [&args[..], &asked, &["--words", "none", "--keyword", "clear"], more]
            .concat()
            .iter()
            .map(|&arg| arg.to_owned())
            .collect()
    }

    fn explain(&self, more: &[&str]) -> Run {
        run(self.args(&self.film(), more))
    }
}

/// Everything in a folder, byte for byte.
fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |name: String| {
        let path = folder.join(&name);
        let bytes = if path.is_file() { fs::read(path).unwrap() } else { Vec::new() };
        (name, bytes)
    };
    names(folder).into_iter().map(read).collect()
}

#[test]
fn files_of_the_user_with_names_of_results_stay() {
    let chest = Chest::new();
    let mine = chest.out();
    fs::create_dir(&mine).unwrap();
    for name in ["picture-0.png", "picture-9.png", "overlay-0-0.png", "images-0.png"] {
        fs::copy(chest.film(), mine.join(name)).unwrap();
    }
    for name in ["words-0.png", "report.html"] {
        fs::write(mine.join(name), "mine").unwrap();
    }
    let before = content(&mine);
    // The picture is one of them; a model that is not there shows that it is not come to.
    let mut args = chest.args(&mine.join("picture-0.png"), &[]);
    args[2] = text(&chest.root.path().join("nowhere"));
    let parts = [
        "holds images-0.png, overlay-0-0.png, picture-0.png, picture-9.png, report.html, words-0.png",
        "no explanation.json there lists them",
        "choose another folder",
    ];
    run(args).failed(&parts);
    assert_eq!(content(&mine), before);
}

/// A folder of the user's is refused before anything is removed, and a result that was changed is the user's, too.
#[test]
fn what_changed_since_it_was_written_is_the_users() {
    let chest = Chest::new();
    chest.explain(&["--figures", "words"]).done();
    let refused = |parts: &[&str]| {
        let before = content(&chest.out());
        let mut args = chest.args(&chest.film(), &[]);
        args[2] = text(&chest.root.path().join("nowhere"));
        run(args).failed(parts);
        assert_eq!(content(&chest.out()), before);
    };
    let picture = chest.out().join("picture-9.png");
    fs::create_dir(&picture).unwrap();
    refused(&["holds picture-9.png, and the explanation.json there does not list them"]);
    fs::remove_dir(&picture).unwrap();

    let overlay = chest.out().join("overlay-0-0.png");
    let written = fs::read(&overlay).unwrap();
    fs::copy(chest.film(), &overlay).unwrap();
    refused(&["holds overlay-0-0.png, and "]);
    fs::write(&overlay, written).unwrap();

    let path = chest.out().join("explanation.json");
    let written = fs::read_to_string(&path).unwrap();
    fs::write(&path, written.replacen("lungs", "heart", 1)).unwrap();
    refused(&["explanation.json", "overlay-0-0.png", "was changed after it was written"]);
    // A record of a version that kept no checksums.
    let mut old = record(&chest.out());
    let files = old["files"].as_object_mut().unwrap();
    assert!(files.remove("written").is_some() && files.remove("record_sha256").is_some());
    fs::write(&path, old.to_string()).unwrap();
    refused(&["is of a version that kept no checksums"]);

    fs::write(&path, written).unwrap();
    fs::write(chest.out().join("notes.txt"), "mine").unwrap();
    chest.explain(&["--no-report"]).done();
    let left =
        ["explanation.json", "explanation.npz", "notes.txt", "overlay-0-0.png", "picture-0.png"];
    assert_eq!(names(&chest.out()), left);
}

/// Every file beside the record is in it, with its checksum; the record with its own, that anybody can find.
#[test]
fn the_record_lists_what_was_written() {
    let chest = Chest::new();
    let json = chest.explain(&["--json", "--regions", "halves"]).done().json();
    let record = record(&chest.out());
    assert_eq!(json, record);
    let written = record["files"]["written"].as_array().unwrap();
    let mut listed: Vec<&str> = written.iter().map(|file| file["name"].as_str().unwrap()).collect();
    listed.push("explanation.json");
    listed.sort_unstable();
    assert_eq!(listed, names(&chest.out()));
    let sha256 = |bytes: &[u8]| {
        use sha2::Digest;
        let digest = sha2::Sha256::digest(bytes);
        digest.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    };
    for file in written {
        let bytes = fs::read(chest.out().join(file["name"].as_str().unwrap())).unwrap();
        assert_eq!(file["sha256"], sha256(&bytes), "{file}");
        assert_eq!(file["bytes"], bytes.len(), "{file}");
    }
    let text = fs::read_to_string(chest.out().join("explanation.json")).unwrap();
    let own = record["files"]["record_sha256"].as_str().unwrap();
    assert_eq!(sha256(text.replace(own, &"0".repeat(64)).as_bytes()), own);
}

/// A result of an earlier run that is the picture, the other picture or the mask of this one.
#[test]
fn an_input_among_earlier_results_stays() {
    let chest = Chest::new();
    chest.explain(&[]).done();
    let before = content(&chest.out());
    let picture = chest.out().join("picture-0.png");
    let link = chest.root.path().join("link.png");
    fs::hard_link(&picture, &link).unwrap();
    let parts = ["is an input and at the same time ", "picture-0.png", "choose another folder"];
    for input in [&picture, &link] {
        run(chest.args(input, &[])).failed(&parts);
        chest.explain(&["--reliance-picture", &text(input)]).failed(&parts);
    }
    let regions = chest.root.path().join("regions.json");
    let mask =
        r#"{"mask": "out/picture-0.png", "regions": [{"name": "all", "box": [0, 0, 64, 64]}]}"#;
    fs::write(&regions, mask).unwrap();
    chest.explain(&["--regions", &text(&regions)]).failed(&parts);
    let messages = chest.root.path().join("messages.json");
    let asked = r#"[{"role": "user", "content": [{"type": "image", "path": "out/picture-0.png"}, {"type": "text", "text": "?"}]}]"#;
    fs::write(&messages, asked).unwrap();
    let (messages, out) = (text(&messages), text(&chest.out()));
    run(["explain", "--model", "phantom", "--messages", &messages, "--out", &out]).failed(&parts);
    assert_eq!(content(&chest.out()), before);
}

/// The second of two finds the folder taken and says so; the first one's results are whole.
#[test]
fn two_at_once_do_not_mix() {
    let chest = Chest::new();
    let start = |answer: &str| {
        let args = chest.args(&chest.film(), &["--json"]);
        let args = args.iter().map(|arg| arg.replace("The lungs are clear.", answer));
        command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let runs = ["All is clear.", "It is clear.", "Both are clear."].map(start);
    let ended = runs.map(|child| child.wait_with_output().unwrap());
    let done: Vec<_> = ended.iter().filter(|output| output.status.success()).collect();
    assert!(!done.is_empty());
    for output in ended.iter().filter(|output| !output.status.success()) {
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("another process is writing to "), "{stderr}");
    }
    let written = fs::read(chest.out().join("explanation.json")).unwrap();
    assert!(done.iter().any(|output| output.stdout == written));
    run(["report", &text(&chest.out())]).done();
    chest.explain(&[]).done();
}

/// The demonstration's own figure is one of its results, and one of the user's with its name stays.
#[test]
fn the_demonstration_replaces_only_itself() {
    let root = tempdir().unwrap();
    fs::write(root.path().join("sound-and-shortcut.png"), "mine").unwrap();
    let out = text(root.path());
    run(["demo", "--out", &out]).failed(&["holds sound-and-shortcut.png, and "]);
    assert_eq!(names(root.path()), ["sound-and-shortcut.png"]);
}

/// The page that is made again is one of the results, whether there was one before or not, and the record keeps its numbers.
#[test]
fn a_page_that_is_made_again_is_a_result() {
    let chest = Chest::new();
    chest.explain(&["--no-report", "--regions", "cxr", "--record", "layers"]).done();
    let mut before = record(&chest.out());
    run(["report", &text(&chest.out())]).done();
    let mut after = record(&chest.out());
    let page = fs::read(chest.out().join("report.html")).unwrap();
    let listed = after["files"]["written"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&listed["name"], &listed["bytes"]), (&"report.html".into(), &page.len().into()));
    assert_eq!(after["files"]["report"], "report.html");
    for record in [&mut before, &mut after] {
        record.as_object_mut().unwrap().remove("files");
    }
    assert_eq!(before, after);
    run(["report", &text(&chest.out())]).done();
    assert_eq!(fs::read(chest.out().join("report.html")).unwrap(), page);

    fs::write(chest.out().join("report.html"), "mine").unwrap();
    run(["report", &text(&chest.out())]).failed(&["holds report.html, and "]);
    fs::write(chest.out().join("report.html"), page).unwrap();
    chest.explain(&["--no-report"]).done();
    assert!(!chest.out().join("report.html").exists());
}

#[test]
#[cfg(unix)]
fn a_page_goes_to_a_file_that_others_may_read() {
    use std::os::unix::fs::PermissionsExt;
    let chest = Chest::new();
    chest.explain(&[]).done();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let elsewhere = chest.root.path().join("page.html");
    run(["report", &text(&chest.out()), "--out", &text(&elsewhere)]).done();
    assert_eq!(mode(&elsewhere), mode(&chest.out().join("report.html")));
    assert_eq!(mode(&elsewhere), mode(&chest.out().join("explanation.json")));
    for path in ["/dev/full", &text(&chest.out())] {
        run(["report", &text(&chest.out()), "--out", path]).failed(&["is not a regular file"]);
    }
    // A link is followed, and a file that is no page stays.
    let link = chest.root.path().join("link.html");
    std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
    run(["report", &text(&chest.out()), "--out", &text(&link)]).done();
    assert!(link.symlink_metadata().unwrap().is_symlink());
    let before = fs::read(chest.film()).unwrap();
    let film = text(&chest.film());
    run(["report", &text(&chest.out()), "--out", &film]).failed(&["is not a page of this program"]);
    assert_eq!(fs::read(chest.film()).unwrap(), before);
    assert!(names(chest.root.path()).iter().all(|name| !name.starts_with('.')));
}

/// Written to where nothing fits: the reason is said, and nothing stays.
#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_is_full_is_said() {
    let chest = Chest::new();
    chest.explain(&[]).done(); // the model is laid out now
    fs::remove_dir_all(chest.out()).unwrap();
    let program = command([""; 0]).get_program().to_owned();
    // A limit on the size of a file stands for the disk: 8 blocks of 512 bytes hold no picture.
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", "ulimit -f 8; exec \"$0\" \"$@\""]).arg(program);
    let output = limited.args(chest.args(&chest.film(), &[])).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("cannot write ") && stderr.contains("File too large"), "{stderr}");
    assert!(!chest.out().exists());
}
