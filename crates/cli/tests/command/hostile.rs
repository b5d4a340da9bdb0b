//! Files, names and answers of others, and streams that take nothing: nothing gets through, no run is lost.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::process::{Output, Stdio};

use image::{ImageBuffer, Luma};
use integration_tests::Fixture;
use tempfile::tempdir;

use crate::support::{asked, command, explain_args, names, record, run, text};

/// What no terminal may get of anybody: it would set a title, clear the screen, turn text round, begin another line.
const HOSTILE: &str = "\u{1b}]0;a\u{7}\u{1b}[2J\u{9b}31m\u{202e}b\u{2066}\u{2028}\u{85}\u{7f}\rc";

/// Nothing of [`HOSTILE`] is in the text as it is.
fn is_harmless(text: &str) -> bool {
    !HOSTILE.chars().any(|c| !c.is_ascii_graphic() && text.contains(c))
}

#[test]
fn control_characters_of_arguments_are_escaped() {
    let fixture = Fixture::open("short-window");
    let folder = tempdir().unwrap();
    let keyword = run(explain_args(asked(&fixture), folder.path(), &["--keyword", HOSTILE]));
    assert!(is_harmless(&keyword.stderr), "{:?}", keyword.stderr);
    let shown = "warning: `\\u{1b}]0;a\\u{7}\\u{1b}[2J\\u{9b}31m\\u{202e}b\\u{2066}\\u{2028}\\u{85}\\u{7f}\\rc` does not occur";
    assert!(keyword.done().stderr.contains(shown));
    for args in [
        vec![HOSTILE],
        vec!["inspect", "--model", "phantom", "--threads", HOSTILE],
        vec!["inspect", "--model", "phantom", HOSTILE],
        vec!["inspect", "--model", "phantom", "--device", HOSTILE],
        vec!["inspect", &format!("--{HOSTILE}")],
    ] {
        let refused = run(&args);
        assert!(is_harmless(&refused.stderr), "{:?}", refused.stderr);
        refused.refused("\\u{202e}b\\u{2066}");
    }
}

#[test]
fn control_characters_of_names_are_escaped() {
    let fixture = Fixture::open("short-window");
    let root = tempdir().unwrap();
    let name = HOSTILE.replace('/', "");
    let broken = root.path().join(format!("{name}.png"));
    fs::write(&broken, "no picture").unwrap();
    let out = root.path().join("out");
    let mut args = asked(&fixture);
    let at = args.iter().position(|arg| arg == "--image").unwrap() + 1;
    let picture = args[at].clone();
    args[at] = text(&broken);
    let failed = run(explain_args(args.clone(), &out, &[]));
    assert!(is_harmless(&failed.stderr), "{:?}", failed.stderr);
    failed.failed(&["\\u{1b}]0;a", ".png is not a picture"]);

    args[at] = picture;
    let out = root.path().join(&name);
    let done = run(explain_args(args, &out, &[])).done();
    assert!(is_harmless(&done.stdout), "{:?}", done.stdout);
    assert!(done.stdout.contains("\\u{202e}b\\u{2066}"), "{:?}", done.stdout);
}

#[test]
fn control_characters_of_an_answer_are_escaped_and_its_lines_stay() {
    let fixture = Fixture::open("short-window");
    let folder = tempdir().unwrap();
    let answer = format!("one\ttwo{HOSTILE}\nthree");
    let more = ["--answer", &answer, "--keyword", "three"];
    let asked = without_generation(asked(&fixture));
    let shown = run(explain_args(asked.clone(), folder.path(), &more)).done();
    assert!(is_harmless(&shown.stdout), "{:?}", shown.stdout);
    assert!(shown.stdout.starts_with("one\ttwo\\u{1b}]0;a\\u{7}"), "{:?}", shown.stdout);
    assert!(shown.stdout.contains("\\rc\nthree\n"), "{:?}", shown.stdout);

    let more = [&more[..], &["--json"]].concat();
    let json = run(explain_args(asked, folder.path(), &more)).done();
    assert!(is_harmless(&json.stdout), "JSON is escaped as JSON");
    assert_eq!(json.json(), record(folder.path()));
}

/// Without the options that only a generated answer takes.
fn without_generation(mut args: Vec<String>) -> Vec<String> {
    args.retain(|arg| arg != "--ignore-stop");
    args
}

/// A stream to nobody.
#[derive(Clone, Copy, Debug)]
enum Stream {
    /// A pipe whose reader has gone.
    Closed,
    /// A disk that has no room.
    Full,
}

impl Stream {
    fn open(self) -> Option<Stdio> {
        match self {
            Self::Closed => {
                let (reader, writer) = std::io::pipe().unwrap();
                drop(reader);
                Some(writer.into())
            }
            Self::Full => Some(OpenOptions::new().write(true).open("/dev/full").ok()?.into()),
        }
    }
}

fn output_with(args: &[String], stdout: Option<Stdio>, stderr: Option<Stdio>) -> Output {
    let mut command = command(args);
    command.stdout(stdout.unwrap_or_else(Stdio::piped));
    command.stderr(stderr.unwrap_or_else(Stdio::piped)).spawn().unwrap().wait_with_output().unwrap()
}

#[cfg(unix)]
#[test]
fn a_stderr_that_takes_nothing_loses_no_run() {
    let fixture = Fixture::open("two-images");
    let folder = tempdir().unwrap();
    let broken = ["inspect".to_owned(), "--model".to_owned(), "nowhere".to_owned()];
    // Whose default window is a warning.
    let deep = folder.path().join("deep.png");
    ImageBuffer::from_fn(8, 8, |x, y| Luma([(x * 4000 + y) as u16])).save(&deep).unwrap();
    for (number, stream) in [Stream::Closed, Stream::Full].into_iter().enumerate() {
        let Some(stderr) = stream.open() else { continue };
        let out = folder.path().join(number.to_string());
        let mut args = asked(&fixture);
        let at = args.iter().position(|arg| arg == "--image").unwrap() + 1;
        args[at] = text(&deep);
        let ended = output_with(&explain_args(args, &out, &[]), None, Some(stderr));
        assert_eq!(ended.status.code(), Some(0), "{stream:?}: {ended:?}");
        assert!(out.join("explanation.json").is_file(), "{stream:?}");
        for args in [&broken[..], &["--wrong".to_owned()]] {
            let ended = output_with(args, None, stream.open());
            let expected = if args.len() == 1 { 2 } else { 1 };
            assert_eq!(ended.status.code(), Some(expected), "{stream:?}: {ended:?}");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_ends_no_work_and_is_no_error() {
    let fixture = Fixture::open("two-images");
    let folder = tempdir().unwrap();
    let out = folder.path().join("out");
    let model = text(&fixture.model());
    let inspect = ["inspect".to_owned(), "--model".to_owned(), model];
    let answer = [vec!["answer".to_owned()], asked(&fixture)].concat();
    for args in [&explain_args(asked(&fixture), &out, &[]), &inspect[..], &answer] {
        let ended = output_with(args, Stream::Closed.open(), None);
        assert_eq!((ended.status.code(), &ended.stderr[..]), (Some(0), &b""[..]), "{ended:?}");
    }
    assert!(names(&out).contains(&"report.html".to_owned()));
    for args in [&["--help".to_owned()][..], &["--version".to_owned()]] {
        let ended = output_with(args, Stream::Closed.open(), None);
        assert_eq!((ended.status.code(), &ended.stderr[..]), (Some(0), &b""[..]), "{ended:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_full_stdout_is_an_error_that_loses_no_results() {
    if Stream::Full.open().is_none() {
        return;
    }
    let fixture = Fixture::open("two-images");
    let folder = tempdir().unwrap();
    let out = folder.path().join("out");
    let model = text(&fixture.model());
    let inspect = ["inspect".to_owned(), "--model".to_owned(), model];
    let explain = explain_args(asked(&fixture), &out, &["--json"]);
    for args in [&explain, &inspect[..], &["--help".to_owned()]] {
        let ended = output_with(args, Stream::Full.open(), None);
        let stderr = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{stderr}");
        assert!(stderr.starts_with("error: cannot write to stdout: "), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    assert!(names(&out).contains(&"report.html".to_owned()));
}

#[test]
fn the_exit_codes_are_in_the_help() {
    let help = run(["--help"]).done().stdout;
    assert!(help.contains("Exit codes: 0 success, 1 failure, 2 incorrect usage, 3 "), "{help}");
}

/// The arguments with another picture.
fn with_picture(mut args: Vec<String>, picture: &Path) -> Vec<String> {
    let at = args.iter().position(|arg| arg == "--image").unwrap() + 1;
    args[at] = text(picture);
    args
}

#[cfg(unix)]
#[test]
fn devices_pipes_and_folders_are_refused_at_once() {
    let fixture = Fixture::open("short-window");
    let root = tempdir().unwrap();
    let out = root.path().join("out");
    let pipe = root.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let model = text(&fixture.model());
    for (path, what) in [
        (pipe.as_path(), "a pipe"),
        (root.path(), "a folder"),
        (Path::new("/dev/zero"), "a device"),
    ] {
        if !path.exists() {
            continue;
        }
        let name = text(path);
        // The folder of a series is a picture, too: this one has none.
        let of_picture = if what == "a folder" { "holds no DICOM picture" } else { what };
        let shown = with_picture(asked(&fixture), path);
        run(explain_args(shown, &out, &[])).failed(&[&name, of_picture]);
        let more = ["--reliance-picture", &name];
        run(explain_args(asked(&fixture), &out, &more)).failed(&[&name, of_picture]);
        let messages = ["explain", "--model", &model, "--messages", &name, "--out", &text(&out)];
        run(messages).failed(&[&name, what]);
        for extension in ["json", "png"] {
            let link = root.path().join(format!("link.{extension}"));
            std::os::unix::fs::symlink(path, &link).unwrap();
            let more = ["--regions", &text(&link)];
            run(explain_args(asked(&fixture), &out, &more)).failed(&["link.", what, "is needed"]);
            fs::remove_file(link).unwrap();
        }
    }
    assert!(!out.exists());
}

#[test]
fn what_is_larger_than_makes_sense_is_refused() {
    let fixture = Fixture::open("short-window");
    let root = tempdir().unwrap();
    let out = root.path().join("out");
    let file = root.path().join("turns.json");
    fs::write(&file, " ".repeat((1 << 20) + 1)).unwrap();
    let model = text(&fixture.model());
    run(["explain", "--model", &model, "--messages", &text(&file), "--out", &text(&out)])
        .failed(&["turns.json is larger than the limit of 1048576 bytes"]);

    let regions = root.path().join("regions.json");
    let name = "n".repeat(1 << 20);
    let corners = |count: usize| vec!["[1,1]"; count].join(",");
    let polygon = |name: &str, count: usize| {
        format!("{{\"name\": \"{name}\", \"polygon\": [{}]}}", corners(count))
    };
    for (json, parts) in [
        (
            format!("[{}]", polygon(&name, 3)),
            &["has a name of 1048576 characters; the most is 100"][..],
        ),
        (
            format!("[{}]", polygon("a\\u001b[2J", 3)),
            &["a\\u{1b}[2J", "has control characters in its name"],
        ),
        (
            format!("[{}]", polygon("a", 20_001)),
            &["regions.json has 20001 corners; the most is 20000"],
        ),
        (
            format!("[{}]", vec![polygon("a", 3); 201].join(",")),
            &["has 201 regions; the most is 200"],
        ),
        ("[{\n\"name\": 3}]".to_owned(), &["regions.json is not a file of regions: ", "line 2"]),
    ] {
        fs::write(&regions, json).unwrap();
        let failed = run(explain_args(asked(&fixture), &out, &["--regions", &text(&regions)]));
        assert!(failed.stderr.len() < 1000, "{}", failed.stderr.len());
        failed.failed(parts);
    }

    let contours = vec!["0.5"; 21].join(",");
    run(explain_args(asked(&fixture), &out, &["--contours", &contours]))
        .refused("at most 20 are drawn");
    let keywords: Vec<&str> = ["--keyword", "a"].repeat(101);
    run(explain_args(asked(&fixture), &out, &keywords)).refused("101 targets are requested");
    assert!(!out.exists());
}

#[test]
fn a_mask_that_is_noise_or_no_picture_says_why() {
    let fixture = Fixture::open("short-window");
    let root = tempdir().unwrap();
    let picture = root.path().join("picture.png");
    let mask = root.path().join("mask.png");
    ImageBuffer::from_pixel(500, 500, Luma([90_u8])).save(&picture).unwrap();
    ImageBuffer::from_fn(500, 500, |x, y| Luma([255 * u8::from((x + y) % 2 == 0)]))
        .save(&mask)
        .unwrap();
    let out = root.path().join("out");
    let args = with_picture(asked(&fixture), &picture);
    let regions = text(&mask);
    let check = |parts: &[&str]| {
        run(explain_args(args.clone(), &out, &["--regions", &regions])).failed(parts);
    };
    check(&["mask.png has more than 400000 edges"]);
    fs::write(&mask, "no picture").unwrap();
    check(&["cannot read the mask ", "mask.png: ", "format"]);
}

#[test]
fn a_file_of_messages_names_pictures_of_its_own_folder() {
    let fixture = Fixture::open("short-window");
    let root = tempdir().unwrap();
    let inner = root.path().join("inner");
    fs::create_dir(&inner).unwrap();
    for folder in [root.path(), &inner] {
        fs::copy(&fixture.pictures()[0], folder.join("a.png")).unwrap();
    }
    let file = inner.join("turns.json");
    let model = text(&fixture.model());
    let ask = |path: &str, more: &[&str]| {
        let content = format!(
            "[{{\"type\": \"image\", \"path\": \"{path}\"}}, {{\"type\": \"text\", \"text\": \"a\"}}]"
        );
        fs::write(&file, format!("[{{\"role\": \"user\", \"content\": {content}}}]")).unwrap();
        let args =
            ["answer", "--model", &model, "--max-new-tokens", "1", "--messages", &text(&file)];
        run([&args, more].concat())
    };
    ask("a.png", &[]).done();
    let outside = text(&root.path().join("a.png"));
    for path in ["../a.png", &outside] {
        ask(path, &[]).failed(&[
            "turns.json",
            "a.png, which is outside of its folder",
            "--allow-outside",
        ]);
        ask(path, &["--allow-outside"]).done();
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("../a.png", inner.join("link.png")).unwrap();
        ask("link.png", &[]).failed(&["link.png, which is outside of its folder"]);
    }
}

#[test]
fn a_picture_of_too_many_pixels_is_refused_by_its_header() {
    let fixture = Fixture::open("short-window");
    let root = tempdir().unwrap();
    let (picture, out) = (root.path().join("bomb.png"), root.path().join("out"));
    // Some kilobytes hold 9000 × 9000 pixels of one grey.
    let mut bytes = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    let pixels = vec![0_u8; 9000 * 9000];
    image::ImageEncoder::write_image(encoder, &pixels, 9000, 9000, image::ExtendedColorType::L8)
        .unwrap();
    fs::write(&picture, bytes).unwrap();
    run(explain_args(with_picture(asked(&fixture), &picture), &out, &[]))
        .failed(&["bomb.png: the number of pixels is 81000000, the limit is 67108864; make the picture smaller"]);
    assert!(!out.exists());
}

/// No output says where files lay on this machine, who ran it, or on which host.
#[test]
fn results_name_no_folder_user_or_host() {
    let fixture = Fixture::open("short-window");
    let root = tempdir().unwrap();
    let folder = root.path().join("surname-forename");
    fs::create_dir(&folder).unwrap();
    let picture = folder.join("film.png");
    fs::copy(&fixture.pictures()[0], &picture).unwrap();
    fs::copy(&fixture.pictures()[0], folder.join("twin.png")).unwrap();
    let regions = folder.join("regions.json");
    fs::write(&regions, "[{\"name\": \"a\", \"box_2d\": [0, 0, 900, 900]}]").unwrap();
    let args = with_picture(asked(&fixture), &picture);
    let twin = text(&folder.join("twin.png"));
    let more = ["--regions", &text(&regions), "--reliance-picture", &twin, "--figures", "panels"];
    let out = folder.join("out");
    let explain = |more: &[&str]| {
        let mut command = command(explain_args(args.clone(), &out, more));
        let ended = command.env("USER", "someuser").env("HOSTNAME", "somehost").output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    };
    explain(&more);
    let model = fixture.model();
    let model = model.parent().unwrap();
    let mut secrets = vec![
        text(&folder),
        text(model),
        "surname-forename".into(),
        "someuser".into(),
        "somehost".into(),
    ];
    secrets.extend(
        fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().to_owned()),
    );
    secrets.retain(|secret| 5 < secret.len());
    for name in names(&out) {
        let bytes = fs::read(out.join(&name)).unwrap();
        for secret in &secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} is in {name}");
        }
    }
    let names_of = |record: &serde_json::Value| {
        [
            &record["pictures"][0]["name"],
            &record["regions"]["spec"],
            &record["reliance"]["blanks"][0]["picture"],
            &record["model"]["source"],
        ]
        .map(|value| value.as_str().unwrap().to_owned())
    };
    let base = text(Path::new(fixture.model().file_name().unwrap()));
    assert_eq!(names_of(&record(&out)), ["film.png", "regions.json", "twin.png", &base]);
    explain(&[&more[..], &["--keep-paths"]].concat());
    let whole = [text(&picture), text(&regions), twin, text(&fixture.model())];
    assert_eq!(names_of(&record(&out)), whole);
}
