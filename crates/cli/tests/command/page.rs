//! The report of an explanation: what it shows, and that a folder makes it again.

use crate::support::{Chest, asked, command, explain, island, names, record, run, text};
use integration_tests::Fixture;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tempfile::tempdir;

#[test]
fn the_report_explains_the_words_of_the_answer_and_can_be_made_again() {
    let chest = Chest::new();
    let more = [
        "--keyword",
        "clear",
        "--regions",
        "cxr",
        "--record",
        "layers",
        "--date",
        "a date",
        "--json",
    ];
    let record = run(chest.args(&more)).done().json();
    let page = fs::read_to_string(chest.out().join("report.html")).unwrap();
    let island = island(&page);

    let words = record["words"].as_array().unwrap();
    let content: Vec<&str> = words.iter().map(|word| word["text"].as_str().unwrap()).collect();
    assert!(content.contains(&"Right") && !content.contains(&"the"), "{content:?}");
    assert_eq!(island["targets"].as_array().unwrap().len(), 1 + words.len());
    assert_eq!(island["targets"][0]["text"], "clear (1)");
    assert_eq!(island["methods"][0]["layers"].as_array().unwrap().len(), 6);
    assert_eq!(island["regions"].as_array().unwrap().len(), 6);
    assert!(page.contains("a date"));
    let folder = text(chest.root.path());
    assert!(!page.contains(&folder), "the page names no folder of its maker");

    // The same page, byte for byte, from what lies in the folder.
    fs::remove_file(chest.out().join("report.html")).unwrap();
    let again = run(["report", &text(&chest.out())]).done();
    assert_eq!(again.stdout.trim(), text(&chest.out().join("report.html")));
    assert_eq!(fs::read_to_string(chest.out().join("report.html")).unwrap(), page);
    let elsewhere = chest.root.path().join("elsewhere.html");
    run(["report", &text(&chest.out()), "--out", &text(&elsewhere)]).done();
    assert_eq!(fs::read_to_string(elsewhere).unwrap(), page);
}

/// Letters, boxes, contours, maps of pixels and the control: what the pictures show the page shows, and a folder gives it again.
#[test]
fn the_page_has_what_the_pictures_have() {
    let chest = Chest::new();
    let answer = r#"Right lung: clear. Left lung: nodule. {"box_2d": [470, 605, 545, 680], "label": "nodule"}"#;
    let more = [
        "--answer",
        answer,
        "--keyword",
        "lung#2",
        "--orientation",
        "pa",
        "--contours",
        "0.9,0.99",
        "--resolution",
        "pixels",
        "--blank-control",
        "--method",
        "rollout,input-gradient",
        "--colormap",
        "cividis",
        "--figure-format",
        "svg",
        "--template-tokens",
        "show",
    ];
    run(chest.args(&more)).done();
    let read = || fs::read_to_string(chest.out().join("report.html")).unwrap();
    let (page, record) = (read(), record(&chest.out()));
    let island = island(&page);
    assert_eq!(island["pictures"][0]["letters"], json!(["R", "L", "", ""]));
    assert_eq!(island["contours"], json!([0.9, 0.99]));
    assert_eq!((&island["colormap"], &island["showsTemplate"]), (&json!("cividis"), &json!(true)));
    assert_eq!(island["pictures"][0]["outlines"][0]["label"], "nodule");
    let sides = &record["boxes"][0]["pixels"];
    let first = &island["pictures"][0]["outlines"][0]["rings"][0];
    assert!((first[0].as_f64().unwrap() - sides[0].as_f64().unwrap()).abs() < 0.1, "{first}");
    assert_eq!(record["targets"][0]["occurrence"], 2);
    assert_eq!(island["targets"][0]["text"], "lung (2)");

    let methods = island["methods"].as_array().unwrap();
    let names: Vec<&str> = methods.iter().map(|method| method["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "relevancy",
            "relevancy of patches",
            "gradient × input of pixels",
            "relevancy − that on the mean picture",
            "raw attention, last layer",
            "attention rollout",
            "gradient × input",
        ]
    );
    let signed = methods.iter().map(|method| !method["signs"].is_null());
    assert_eq!(signed.collect::<Vec<_>>(), [false, false, true, true, false, false, true]);
    // Words beside the targets have no pixels and no control: the page says why in their place.
    assert!(island["rows"][0].as_array().unwrap().iter().all(Value::is_number));
    assert!(island["rows"][1][2].is_string() && island["rows"][1][3].is_string());
    let template = island["textTemplate"].as_array().unwrap();
    assert_eq!(template[0], json!(true), "<bos>");
    assert!(template.iter().filter(|is| **is == json!(false)).count() > 20);

    for file in ["overlay-0-0.svg", "patches-0-0.svg", "pixels-0-0.svg", "control-0-0.svg"] {
        let svg = fs::read_to_string(chest.out().join(file)).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("lung (2)"), "{file}");
    }
    run(["report", &text(&chest.out())]).done();
    assert_eq!(read(), page);
}

/// Without a target the page is that of the words, with all that was asked for, and is made again from the folder; without words it is
/// that of the targets.
#[test]
fn a_page_needs_no_target_and_no_words() {
    let more = ["--record", "layers", "--resolution", "patches", "--method", "input-gradient"];
    for given in [&[][..], &["--keyword", "nodule", "--words", "none"]] {
        let chest = Chest::new();
        run(chest.args(&[&["--answer", "There is a nodule."], &more[..], given].concat())).done();
        let read = || fs::read_to_string(chest.out().join("report.html")).unwrap();
        let page = read();
        let island = island(&page);
        let methods = island["methods"].as_array().unwrap();
        assert_eq!(methods.len(), 5, "{methods:?}");
        assert_eq!(methods[0]["layers"].as_array().unwrap().len(), 6);
        let rows = island["rows"].as_array().unwrap().iter();
        assert!(rows.flat_map(|rows| rows.as_array().unwrap()).all(Value::is_number));
        run(["report", &text(&chest.out())]).done();
        assert_eq!(read(), page);
    }
}

#[test]
fn words_are_all_content_or_none() {
    let count = |more: &[&str]| {
        let chest = Chest::new();
        let record = run(chest.args(
            &[&["--json", "--answer", "There is no nodule.", "--keyword", "nodule"], more].concat(),
        ));
        record.done().json()["words"].as_array().unwrap().len()
    };
    // Beside the target.
    assert_eq!(count(&["--words", "all"]), 3);
    assert_eq!(count(&[]), 1);
    assert_eq!(count(&["--words", "none"]), 0);
    assert_eq!(count(&["--no-report"]), 0);
}

/// The rows of a given answer are those of the same answer when the model makes it.
/// The folder holds the finer maps, and the page is made again from it.
#[test]
fn finer_maps_are_drawn_kept_and_shown() {
    let chest = Chest::new();
    let read = |chest: &Chest| fs::read_to_string(chest.out().join("report.html")).unwrap();
    let more = ["--keyword", "clear", "--resolution", "pixels", "--record", "heads"];
    run(chest.args(&more)).done();
    let record = record(&chest.out());
    let target = &record["targets"][0];
    assert_eq!(target["finer"], json!(["patches-0-0.png", "pixels-0-0.png"]));
    assert_eq!(record["files"]["finer"], target["finer"]);
    assert_eq!(
        (&record["settings"]["resolution"], &record["images"][0]["patches"]),
        (&json!("pixels"), &json!([32, 32]))
    );
    let carried = target["by_head"]["carried"].as_array().unwrap();
    assert!(carried.len() == 6 && carried.iter().all(|heads| heads.as_array().unwrap().len() == 4));
    let (bytes, page) = (fs::read(chest.out().join("explanation.npz")).unwrap(), read(&chest));
    for name in [
        "patch_relevancy",
        "patch_relevancy_unpooled",
        "word_patch_relevancy",
        "pixel_gradient_input",
        "head_carried",
        "head_attention",
    ] {
        let name = format!("{name}.npy");
        assert!(bytes.windows(name.len()).any(|part| part == name.as_bytes()), "{name}");
    }
    let island = island(&page);
    assert_eq!(
        (&island["methods"][1]["name"], &island["methods"][1]["parts"]),
        (&json!("relevancy of patches"), &json!(2))
    );
    fs::remove_file(chest.out().join("report.html")).unwrap();
    run(["report", &text(&chest.out())]).done();
    assert_eq!(read(&chest), page);
    // A later explanation without them leaves none.
    run(chest.args(&["--no-report"])).done();
    assert!(
        !names(&chest.out()).iter().any(|name| name.contains("patches") || name.contains("pixels"))
    );
}

/// A model whose tokens are single patches: its finer map has as many cells, and is another.
#[test]
fn patches_as_large_as_tokens_are_shown() {
    let (fixture, folder) = (Fixture::open("short-window"), tempdir().unwrap());
    explain(&fixture, folder.path(), &["--resolution", "patches"]).done();
    let page = fs::read_to_string(folder.path().join("report.html")).unwrap();
    let island = island(&page);
    assert_eq!(
        (&island["methods"][1]["name"], &island["methods"][1]["parts"]),
        (&json!("relevancy of patches"), &json!(1))
    );
    run(["report", &text(folder.path())]).done();
    assert_eq!(fs::read_to_string(folder.path().join("report.html")).unwrap(), page);
}

/// A folder that anybody may have written.
#[test]
fn a_folder_that_is_spoilt_is_named() {
    let fixture = Fixture::open("two-images");
    let folder = tempdir().unwrap();
    let failed = |parts: &[&str]| {
        run(["report", &text(folder.path())]).failed(parts);
    };
    failed(&["cannot use ", "explanation.json", "No such file"]);
    explain(&fixture, folder.path(), &[]).done();
    let path = folder.path().join("explanation.json");
    let whole = record(folder.path());
    let spoil = |change: &dyn Fn(&mut Value), parts: &[&str]| {
        let mut record = whole.clone();
        change(&mut record);
        fs::write(&path, record.to_string()).unwrap();
        failed(parts);
    };
    spoil(&|r| r["version"] = json!(99), &["explanation.json", "version 99", "explain again"]);
    spoil(&|r| r["targets"][0]["positions"] = json!([5, 100_000]), &["positions 5 to 100000"]);
    spoil(&|r| r["images"][0]["picture"] = json!(7), &["picture 7, which does not exist"]);
    spoil(&|r| r["images"][0]["region"] = json!([0, 0, -5, 5]), &["0"]);
    spoil(&|r| r["pictures"][0]["file"] = json!("../../etc/passwd"), &["not in the folder"]);
    spoil(&|r| r["pictures"][1]["file"] = json!("picture-0.png"), &["picture-0.png", "pixels"]);
    spoil(&|r| r["images"][1]["patches"] = json!([64, 64]), &["image 1 has other patches"]);
    let patches = json!([1_000_000, 1_000_000]);
    let patched = |r: &mut Value| {
        (0..2).for_each(|image| r["images"][image]["patches"] = patches.clone());
    };
    spoil(&patched, &["explanation.npz", "patch_relevancy"]);
    spoil(&|r| r["settings"]["methods"] = json!(["lime"]), &["explanation.npz", "method_rows"]);
    spoil(&|r| r["targets"] = json!([]), &["explanation.npz", "token_relevancy"]);
    spoil(
        &|r| {
            r.as_object_mut().unwrap().remove("answer");
        },
        &["missing field `answer`"],
    );
    fs::write(&path, "{").unwrap();
    failed(&["explanation.json", "EOF"]);

    fs::write(&path, whole.to_string()).unwrap();
    run(["report", &text(folder.path())]).done();
    let arrays = folder.path().join("explanation.npz");
    fs::write(&arrays, "no archive").unwrap();
    failed(&["cannot use ", "explanation.npz"]);
    fs::remove_file(folder.path().join("picture-1.png")).unwrap();
    assert!(Path::new(&arrays).exists());
}

/// Texts of the user and the model stay text in the page.
#[test]
fn scripts_in_the_question_are_inert() {
    let fixture = Fixture::open("short-window");
    let folder = tempdir().unwrap();
    let mut args = asked(&fixture);
    let at = args.iter().position(|arg| arg == "--prompt").unwrap();
    args[at + 1] = "</script><script>alert(1)</script>".to_owned();
    let args = crate::support::explain_args(args, folder.path(), &[]);
    let done = command(args).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let page = fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(!page.contains("<script>alert"), "escaped everywhere");
    assert!(page.contains("&lt;script&gt;alert(1)"));
}
