//! What the command says when something is wrong, and what it leaves behind: nothing.

use crate::support::{Run, asked, asked_of, explain, explain_args, names, record, run, text};
use integration_tests::{Checkpoint, Fixture};
use std::fs;
use std::path::Path;
use tempfile::tempdir;

/// Fails in a folder that is not there and in one that is: the one is not made, the other stays as it is.
fn failed_cleanly(asked: &[String], more: &[&str], parts: &[&str]) {
    let root = tempdir().unwrap();
    let out = root.path().join("deep/out");
    run(explain_args(asked.to_vec(), &out, more)).failed(parts);
    assert_eq!(names(root.path()), [""; 0], "{more:?}");

    let kept = root.path().join("kept");
    fs::create_dir(&kept).unwrap();
    fs::write(kept.join("notes.txt"), "earlier").unwrap();
    run(explain_args(asked.to_vec(), &kept, more)).failed(parts);
    assert_eq!(names(&kept), ["notes.txt"], "{more:?}");
    assert_eq!(fs::read_to_string(kept.join("notes.txt")).unwrap(), "earlier");
}

#[test]
fn wrong_use_is_refused_before_anything_is_done() {
    let fixture = Fixture::open("two-images");
    let root = tempdir().unwrap();
    let out = root.path().join("out");
    run([""; 0]).refused("Usage: medgemma-explainer");
    run(["explain"]).refused("--model <DIR_OR_ID>");
    run(["paint"]).refused("unrecognized subcommand 'paint'");
    run(["inspect", "--model", "."]).failed(&["config.json is missing"]);
    run(["inspect", "--model", ".", "--revision", "main"])
        .refused("--revision is only for models of the hub");
    run(["inspect", "--model", "phantom", "--file", "a.gguf"])
        .refused("--file is only for models of the hub");
    run(["inspect", "--model", ".", "--tokens", "0"]).refused("0 is not in 1..");
    run(["inspect", "--model", ""]).refused("--model <DIR_OR_ID>");
    for (more, part) in [
        (&["--device", "gpu"][..], "unknown device \"gpu\"; use auto, cpu, cuda or cuda:N"),
        (&["--dtype", "float16"], "unknown dtype \"float16\"; use auto, float32 or bfloat16"),
        (&["--resize", "lanczos"], "[possible values: torchvision, pillow]"),
        (&["--engine", "fast"], "unknown engine \"fast\"; use auto"),
        (&["--update", "none"], "[possible values: additive, stochastic]"),
        (&["--backward", "lrp"], "[possible values: gradient, cp-lrp, attn-lrp]"),
        (&["--backward", "cp-lrp", "--reproduce", "seed"], "cannot be used with"),
        (&["--backward", "cp-lrp", "--engine", "retained"], "needs the streaming engine"),
        (&["--objective", "loss"], "[possible values: contrast, logit, log-probability, log-odds]"),
        (&["--colormap", "rainbow"], "rainbow"),
        (&["--position", "-1"], "-1"),
        (&["--position", "last"], "last"),
        (&["--keyword", " "], "it is blank"),
        (&["--keyword", ""], "--keyword <WORD>"),
        (&["--span", "median"], "[possible values: mean, sum, reliance]"),
        (&["--sentence", "0"], "from 1"),
        (&["--characters", "5..2"], "A below B"),
        (&["--contrast", "left", "--objective", "logit"], "cannot be used with"),
        (&["--messages", "turns.json"], "cannot be used with"),
        (&["--seed", "1"], "--sample"),
        (&["--max-new-tokens", "0"], "0 is not in 1.."),
        (&["--window", "5"], "give LOW,HIGH"),
        (&["--window", "5,-5"], "5 is not below -5"),
        (&["--system", ""], "--system <TEXT>"),
        (&["--out", ""], "--out <DIR>"),
        (&["--model", "."], "cannot be used multiple times"),
    ] {
        // An option that the fixture gives, too, would be given twice.
        let mut asked = asked(&fixture);
        if let Some(at) = asked.iter().position(|arg| arg == more[0] && arg != "--model") {
            asked.drain(at..at + 2);
        }
        let mut args = explain_args(asked, &out, more);
        if more[0] == "--out" {
            let at = args.iter().position(|arg| arg == "--out").unwrap();
            args.drain(at..at + 2);
        }
        run(args).refused(part);
    }
    for prompt in ["", "  "] {
        let mut args = asked(&fixture);
        let at = args.iter().position(|arg| arg == "--prompt").unwrap() + 1;
        prompt.clone_into(&mut args[at]);
        run(explain_args(args, &out, &[])).refused("--prompt <TEXT>");
    }
    assert_eq!(names(root.path()), [""; 0]);
}

/// Rules of layer-wise relevance propagation are there in a build with the feature `lrp` alone, and otherwise refused before the model has
/// said anything.
#[test]
fn a_backward_rule_is_recorded_or_refused() {
    let fixture = Fixture::open("bfloat16");
    for backward in ["gradient", "cp-lrp", "attn-lrp"] {
        let folder = tempdir().unwrap();
        let more = ["--backward", backward, "--resolution", "patches"];
        if backward == "gradient" || medgemma_explainer::HAS_LRP {
            explain(&fixture, folder.path(), &more).done();
            assert_eq!(record(folder.path())["settings"]["backward"], backward);
        } else {
            let told = explain(&fixture, folder.path(), &more);
            assert_eq!(told.stdout, "");
            told.failed(&["no backward rule", backward, "the feature `lrp`"]);
            assert_eq!(names(folder.path()), [""; 0]);
        }
    }
}

#[test]
fn what_cannot_be_explained_leaves_nothing() {
    let fixture = Fixture::open("short-window");
    let asked = asked(&fixture);
    for (more, parts) in [
        (
            ["--position", "0"],
            &["error: position 0 is the first token of the prompt", "position 87"][..],
        ),
        (["--position", "2"], &["error: position 2 (\"us\") is in the prompt"]),
        (["--position", "7"], &["error: position 7 is an image token"]),
        (["--layers", "3..99"], &["3..99"]),
        (["--heads", "99"], &["head 99"]),
        (["--memory-budget", "1kB"], &["a memory budget of 1000 bytes is too small: one token"]),
    ] {
        failed_cleanly(&asked, &more, parts);
        let told = run(explain_args(asked.clone(), Path::new("nowhere-at-all"), &more));
        assert_eq!(told.stdout, "", "{more:?}: it is told before the model has said anything");
    }
}

/// Nobody knows the words of an answer before it is made: the answer is shown, the rest explained, and what is missing told.
#[test]
fn what_the_answer_lacks_is_a_note_and_the_rest_is_written() {
    let fixture = Fixture::open("short-window");
    let shown = format!("in the text: {}", fixture.text("generated_text"));
    let root = tempdir().unwrap();
    let out = root.path().join("out");
    for (asked, parts) in [
        (["--position", "97"], ["position 97 is past the end", "87..=96"]),
        (["--position", "18446744073709551615"], ["is past the end", "87..=96"]),
        (["--keyword", "heart"], ["`heart` does not occur", &shown]),
        (["--keyword", "changed#3"], ["`changed` occurs 2 times and has no occurrence 3", &shown]),
    ] {
        for beside in [&["--answer-span"][..], &[]] {
            let more = [&asked[..], beside].concat();
            let done = explain(&fixture, &out, &more).done();
            let told = done.stderr.lines().any(|line| {
                line.starts_with("warning: ") && parts.iter().all(|part| line.contains(part))
            });
            assert!(told, "{more:?}: {}", done.stderr);
            let written = record(&out);
            assert_eq!(written["targets"].as_array().unwrap().len(), beside.len());
            assert!(beside.len() == 1 || !written["words"].as_array().unwrap().is_empty());
            assert!(written["missing"][0]["reason"].as_str().unwrap().contains(parts[0]));
            assert!(out.join("report.html").exists());
            let strict = explain(&fixture, &out, &[&more[..], &["--strict"]].concat());
            assert_eq!(strict.code, 3, "{}", strict.stderr);
            assert_eq!(record(&out)["missing"], written["missing"], "written all the same");
        }
    }
    explain(&fixture, &out, &["--keyword", "changed", "--strict"]).done();
}

/// Without a target the words are explained, never a full stop.
#[test]
fn without_a_target_the_words_are_explained() {
    let fixture = Fixture::open("short-window");
    let root = tempdir().unwrap();
    let out = root.path().join("out");
    let done = run(explain_args(asked(&fixture), &out, &[])).done();
    let written = record(&out);
    assert_eq!(written["targets"], serde_json::json!([]));
    let words = written["words"].as_array().unwrap();
    assert!(1 < words.len(), "{words:?}");
    for word in words {
        let text = word["text"].as_str().unwrap();
        assert!(text.contains(char::is_alphanumeric), "{text:?}");
        assert!(done.stdout.contains(text), "{text:?} is in the table: {}", done.stdout);
    }
    assert_eq!(
        names(&out),
        ["explanation.json", "explanation.npz", "picture-0.png", "report.html"]
    );
    run(explain_args(asked(&fixture), &out, &["--words", "none"])).refused("nothing to explain");
    run(explain_args(asked(&fixture), &out, &["--contrast", "left"])).refused("add --keyword");
}

#[test]
fn a_model_that_cannot_be_loaded_leaves_nothing() {
    let fixture = Fixture::open("two-images");
    let checkpoint = Checkpoint::copy(&fixture);
    let check = |parts: &[&str]| failed_cleanly(&asked_of(checkpoint.path(), &fixture), &[], parts);
    checkpoint.write("tokenizer.json", "{}");
    check(&["tokenizer.json: field `normalizer` is null, expected Replace of a space by ▁"]);
    checkpoint.write("model.safetensors", "abc");
    check(&[
        "model.safetensors has 3 bytes but its header describes 8; it is truncated or damaged",
    ]);
    checkpoint.remove("model.safetensors");
    check(&["has neither model.safetensors nor model.safetensors.index.json"]);
    checkpoint.remove("config.json");
    check(&["config.json is missing"]);
    let nowhere = checkpoint.file("nowhere");
    failed_cleanly(
        &asked_of(&nowhere, &fixture),
        &[],
        &["model directory ", "nowhere does not exist"],
    );
    failed_cleanly(
        &asked(&fixture),
        &["--device", "cuda:4096"],
        &["device cuda:4096 was asked for, but ", "--device cpu"],
    );
}

#[test]
fn a_template_without_pictures_leaves_nothing() {
    let fixture = Fixture::open("two-images");
    let checkpoint = Checkpoint::copy(&fixture);
    let template = fs::read_to_string(checkpoint.file("chat_template.jinja")).unwrap();
    checkpoint.write("chat_template.jinja", template.replace("<start_of_image>", ""));
    let parts = ["chat_template.jinja: no image placeholder: `<start_of_image>`"];
    failed_cleanly(&asked_of(checkpoint.path(), &fixture), &[], &parts);
}

#[test]
fn a_template_that_nobody_has_read_answers_like_a_known_one() {
    let fixture = Fixture::open("short-window");
    let checkpoint = Checkpoint::copy(&fixture);
    let template = fs::read_to_string(checkpoint.file("chat_template.jinja")).unwrap();
    let answer = |more: &[&str]| {
        let asked = asked_of(checkpoint.path(), &fixture);
        let args = ["answer".to_owned()].into_iter().chain(asked);
        run(args.chain(more.iter().map(|&arg| arg.to_owned()))).done().stdout
    };
    let known = answer(&[]);
    checkpoint.write("chat_template.jinja", format!("{{# mine #}}{template}"));
    assert_eq!(answer(&[]), known, "rendered in a process of its own");
    assert_eq!(answer(&["--trust-template"]), known, "rendered in the process itself");
}

#[test]
fn a_hostile_template_leaves_nothing_and_says_which_file_it_is() {
    let fixture = Fixture::open("two-images");
    let checkpoint = Checkpoint::copy(&fixture);
    for (template, part) in [
        (
            format!("{{% set x = 'a' * 1000000 %}}{}", "{% set x = x ~ x %}".repeat(20)),
            "it needs more than 512 MB of memory",
        ),
        (format!("{{{{ 1{} }}}}", "+1".repeat(100_000)), "nested too deeply"),
        ("{{ raise_exception('\u{1b}[2J') }}".to_owned(), "\\u{1b}[2J"),
    ] {
        checkpoint.write("chat_template.jinja", template);
        let parts = ["error: chat template ", "chat_template.jinja: ", part];
        failed_cleanly(&asked_of(checkpoint.path(), &fixture), &[], &parts);
    }
}

#[test]
fn a_model_that_memory_cannot_hold_is_refused_at_once() {
    let huge = Checkpoint::huge();
    let asked = asked_of(huge.path(), &Fixture::open("short-window"));
    failed_cleanly(
        &asked,
        &[],
        &["error: the model needs about ", " of memory and ", " is available"],
    );
    let run = run(["inspect", "--model", &text(huge.path())]).done();
    assert_eq!(run.stderr, "", "the checkpoint is consistent");
    assert!(run.stdout.contains("main memory to load"));
}

#[test]
fn a_prompt_longer_than_the_context_leaves_nothing() {
    let fixture = Fixture::open("two-images");
    let mut asked = asked(&fixture);
    let at = asked.iter().position(|arg| arg == "--prompt").unwrap() + 1;
    asked[at] = "effusion ".repeat(9000);
    failed_cleanly(
        &asked,
        &[],
        &["error: the prompt has at least ", " tokens, the model takes 8192; shorten"],
    );
    asked[at] = "a <end_of_turn> b".to_owned();
    failed_cleanly(&asked, &[], &["contains the control token `<end_of_turn>`"]);
}

/// `answer` with one picture.
fn answer_with(picture: &Path) -> Run {
    let model = text(&Fixture::open("two-images").model());
    run([
        "answer",
        "--model",
        &model,
        "--image",
        &text(picture),
        "--prompt",
        "Where?",
        "--max-new-tokens",
        "1",
    ])
}

#[test]
fn a_bad_picture_is_named() {
    let root = tempdir().unwrap();
    let picture = |name: &str, bytes: &[u8]| {
        let path = root.path().join(name);
        fs::write(&path, bytes).unwrap();
        answer_with(&path)
    };
    let png = fs::read(&Fixture::open("two-images").pictures()[0]).unwrap();
    picture("text.png", b"hello")
        .failed(&["text.png is not a picture; PNG, JPEG, TIFF, WebP and BMP can be read"]);
    picture("half.png", &png[..png.len() / 2]).failed(&["half.png: the picture is truncated"]);
    let mut bomb = b"BM".to_vec();
    for field in [54u32, 0, 54, 40, 30_000, 30_000, 1 | 24 << 16, 0, 0, 0, 0, 0, 0] {
        bomb.extend(field.to_le_bytes());
    }
    picture("bomb.bmp", &bomb)
        .failed(&["bomb.bmp: the number of pixels is 900000000, the limit is 67108864; make the picture smaller"]);
    bomb[18..22].fill(0); // its width
    picture("zero.bmp", &bomb).failed(&["zero.bmp: "]);
    answer_with(&root.path().join("nowhere.png")).failed(&["cannot read ", "nowhere.png: "]);
    answer_with(root.path()).failed(&[" holds no DICOM picture"]);
    picture("window.png", &png).done();
}

#[test]
fn an_output_that_cannot_be_written_is_said_before_the_model_is_loaded() {
    let fixture = Fixture::open("two-images");
    let root = tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "x").unwrap();
    let asked = asked_of(Path::new("/nowhere"), &fixture); // loading it would be another error
    for out in [file.clone(), file.join("a"), file.join("a/b")] {
        run(explain_args(asked.clone(), &out, &[])).failed(&["error: cannot write ", "file"]);
    }
    if Path::new("/proc/self").exists() {
        run(explain_args(asked, Path::new("/proc/x/y"), &[]))
            .failed(&["error: cannot write /proc/x/y: "]);
    }
    assert_eq!(names(root.path()), ["file"]);
}

#[test]
fn a_folder_in_the_way_of_a_file_spoils_nothing() {
    let (fixture, folder) = (Fixture::open("two-images"), tempdir().unwrap());
    explain(&fixture, folder.path(), &["--position", "106"]).done();
    fs::remove_file(folder.path().join("overlay-0-1.png")).unwrap();
    fs::create_dir(folder.path().join("overlay-0-1.png")).unwrap();
    let before = (names(folder.path()), record(folder.path()));
    explain(&fixture, folder.path(), &[])
        .failed(&[" holds overlay-0-1.png, and ", "choose another folder"]);
    assert_eq!((names(folder.path()), record(folder.path())), before);
}

#[cfg(not(feature = "hub"))]
#[test]
fn without_the_hub_a_model_must_be_a_directory() {
    let message = "\"owner/model\" is not a directory, and this build cannot reach the hub (feature `hub` is off)";
    run(["inspect", "--model", "owner/model"]).failed(&[message, "give a checkpoint directory"]);
}
