//! What people look at: regions, figures, the report, and a folder that makes it again.

use crate::support::{asked, command, explain, island, names, record, run, text};
use integration_tests::Fixture;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::{TempDir, tempdir};

/// A phantom with its picture, and where results go.
struct Chest {
    root: TempDir,
}

impl Chest {
    fn new() -> Self {
        let root = tempdir().unwrap();
        let out = text(&root.path().join("set"));
        run(["phantom", "--seed", "5", "--count", "1", "--size", "224", "--out", &out]).done();
        Self { root }
    }

    fn picture(&self) -> PathBuf {
        self.root.path().join("set/000.png")
    }

    fn out(&self) -> PathBuf {
        self.root.path().join("out")
    }

    fn args(&self, more: &[&str]) -> Vec<String> {
        let (picture, out) = (text(&self.picture()), text(&self.out()));
        let start = ["explain", "--model", "phantom", "--image", &picture, "--out", &out];
        let question = ["--prompt", "Describe the radiograph."];
        let all = start.iter().chain(&question).chain(more);
        all.map(|&arg| arg.to_owned()).collect()
    }
}

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
    assert_eq!(island["letters"], json!(["R", "L"]));
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
fn targets_have_the_order_of_the_command_line_and_repeated_words_a_number() {
    let chest = Chest::new();
    let more =
        ["--answer", "Heart: clear. Lungs: clear.", "--answer-span", "--keyword", "clear#all"];
    let more = [&more[..], &["--keyword", "heart", "--words", "none", "--no-report"]].concat();
    let done = run(chest.args(&more)).done();
    let texts: Vec<String> = record(&chest.out())["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|target| format!("{} {}", target["text"].as_str().unwrap(), target["occurrence"]))
        .collect();
    assert_eq!(texts, ["Heart: clear. Lungs: clear. null", "clear 1", "clear 2", "Heart null"]);
    for line in [" 1 clear (1) ", " 2 clear (2) ", " 3 Heart "] {
        assert!(done.stdout.lines().any(|found| found.starts_with(line)), "{}", done.stdout);
    }
    // Nothing that the template wrote is among the most relevant text; its sum is told once.
    let table: Vec<&str> =
        done.stdout.lines().skip_while(|line| !line.starts_with(" # ")).take(5).collect();
    assert!(
        table.iter().all(|line| !line.contains("<bos>") && !line.contains("\"model\"")),
        "{table:?}"
    );
    assert_eq!(done.stdout.matches("<bos> and the chat template").count(), 1);
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

#[test]
fn regions_are_told_in_terminal_record_and_chart() {
    let chest = Chest::new();
    let more = ["--keyword", "clear", "--regions", "halves", "--words", "none"];
    let run = run(chest.args(&more)).done();
    assert!(run.stdout.contains("picture left "), "{}", run.stdout);
    assert!(run.stdout.contains("(left and right are those of the picture)"), "{}", run.stdout);
    let record = record(&chest.out());
    assert_eq!(record["regions"]["names"], json!(["picture left", "picture right"]));
    let scores = record["targets"][0]["regions"].as_array().unwrap();
    let share: f64 = scores.iter().map(|score| score["share"].as_f64().unwrap()).sum();
    assert!((share - 1.0).abs() < 1e-6, "{share}");
    assert_eq!(record["files"]["figures"], json!(["regions-0-0.png"]));
    assert!(names(&chest.out()).contains(&"regions-0-0.png".to_owned()));
    assert_eq!(record["settings"]["orientation"], "none");
}

/// Zones of a radiograph have the patient's sides, and turn with the orientation.
#[test]
fn sides_are_the_patients() {
    let sums = |orientation: &str| {
        let chest = Chest::new();
        let asked = ["--keyword", "clear", "--regions", "cxr", "--orientation", orientation];
        let more = [&asked[..], &["--no-report", "--json"]].concat();
        let record = run(chest.args(&more)).done().json();
        assert_eq!(record["settings"]["orientation"], orientation);
        let regions = record["targets"][0]["regions"].clone();
        let sum = |name: &str| {
            let found = regions.as_array().unwrap().iter().find(|region| region["name"] == name);
            found.unwrap_or_else(|| panic!("no {name}"))["sum"].as_f64().unwrap()
        };
        [sum("right upper zone"), sum("left upper zone")]
    };
    let ([right, left], [turned_right, turned_left]) = (sums("pa"), sums("flipped"));
    assert!((turned_right - left).abs() + (turned_left - right).abs() < 1e-9);
    assert!((right - left).abs() > 1e-6);
}

#[test]
fn figures_are_drawn_as_asked() {
    let chest = Chest::new();
    let kinds = ["panels", "comparison", "words", "images", "layers", "heads", "resolutions"];
    let more = [
        "--keyword",
        "clear",
        "--figures",
        &kinds.join(","),
        "--figure-format",
        "svg",
        "--record",
        "layers,heads",
        "--resolution",
        "pixels",
    ];
    run(chest.args(&more)).done();
    let figures = [
        "panels-0-0.svg",
        "comparison-0-0.svg",
        "words-0.svg",
        "images-0.svg",
        "layers-0-0.svg",
        "heads-0-0.svg",
        "resolutions-0-0.svg",
    ];
    assert_eq!(record(&chest.out())["files"]["figures"], json!(figures));
    for figure in figures {
        let svg = fs::read_to_string(chest.out().join(figure)).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{figure}");
    }
    // The next run leaves none of them.
    run(chest.args(&["--no-report"])).done();
    assert!(
        !names(&chest.out()).iter().any(|name| name.contains(".svg") || name.contains(".html"))
    );
}

/// What somebody wrote is explained, boxes and all, though the model would say something else.
#[test]
fn a_given_answer_is_explained_with_its_boxes() {
    let chest = Chest::new();
    let answer = "There is a nodule.\n```json\n[{\"box_2d\": [100, 100, 600, 500], \"label\": \"nodule\"}, {\"box_2d\": [5, 5, 1, 1]}]\n```";
    let more = ["--answer", answer, "--keyword", "nodule", "--words", "none"];
    let run = run(chest.args(&more)).done();
    assert!(run.stdout.starts_with("There is a nodule."), "{}", run.stdout);
    assert!(run.stdout.contains("within the model's box \"nodule\""), "{}", run.stdout);
    assert!(
        run.stderr.contains("a box in the answer is not valid: no rectangle"),
        "{}",
        run.stderr
    );
    let record = record(&chest.out());
    assert_eq!(record["answer"], answer);
    assert_eq!(
        (&record["generation"], &record["stop"]),
        (&Value::Null, &json!("given by the caller"))
    );
    assert_eq!(record["boxes"].as_array().unwrap().len(), 1);
    assert_eq!(record["boxes"][0]["pixels"], json!([22.4, 22.4, 112.0, 134.4]));
    let found = &record["targets"][0]["boxes"][0];
    let [share, iou] = ["share", "iou"].map(|name| found[name].as_f64().unwrap());
    assert!(0.0 < share && share < 1.0 && (0.0..=1.0).contains(&iou), "{found}");

    crate::support::run(chest.args(&["--answer", " "])).failed(&["the answer is empty"]);
    crate::support::run(chest.args(&["--answer", "a <end_of_turn>"]))
        .failed(&["control token `<end_of_turn>`"]);
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

#[test]
fn given_and_generated_answers_have_the_same_rows() {
    let chest = Chest::new();
    let more = ["--words", "none", "--keyword", "clear", "--json", "--dtype", "float32"];
    let generated = run(chest.args(&more)).done().json();
    let answer = generated["answer"].as_str().unwrap();
    let given = run(chest.args(&[&more[..], &["--answer", answer]].concat())).done().json();
    assert_eq!(given["tokens"], generated["tokens"]);
    for name in ["logit", "log_probability", "image_share"] {
        let [a, b] =
            [&given, &generated].map(|record| record["targets"][0][name].as_f64().unwrap());
        assert!((a - b).abs() <= 1e-4 * a.abs().max(1e-2), "{name}: {a} {b}");
    }
}

#[test]
fn wrong_regions_and_figures_are_refused_before_the_model_is_loaded() {
    let chest = Chest::new();
    let refused = |more: &[&str], part: &str| run(chest.args(more)).refused(part);
    refused(&["--regions", "lobes"], "halves, quadrants, grid3x3, cxr");
    refused(&["--orientation", "lateral"], "pa, ap, flipped, none");
    refused(
        &["--figures", "pie"],
        "panels, comparison, words, images, difference, layers, heads, resolutions",
    );
    refused(&["--figures", "layers"], "add --record layers");
    refused(&["--figures", "heads"], "add --record heads");
    refused(&["--head-layer", "1"], "--record heads");
    refused(&["--figures", "resolutions"], "needs --resolution patches or pixels");
    refused(&["--resolution", "voxels"], "tokens, patches or pixels");
    refused(&["--resolution", "patches", "--engine", "retained"], "streaming");
    refused(&["--record", "layers", "--engine", "retained"], "streaming");
    refused(&["--alpha", "1.5"], "from 0 to 1");
    refused(&["--contours", "0.5,2"], "from 0 to 1");
    refused(&["--show", "--json"], "cannot be used with");

    let file = chest.root.path().join("regions.json");
    fs::write(&file, "not JSON").unwrap();
    run(chest.args(&["--regions", &text(&file)]))
        .failed(&["regions.json", "not a file of regions"]);
    fs::write(&file, r#"[{"name": "heart", "box": [900, 900, 950, 950]}]"#).unwrap();
    run(chest.args(&["--regions", &text(&file)])).failed(&["\"heart\"", "covers nothing"]);
    assert!(!chest.out().exists());
}

/// Nothing is drawn for a terminal where there is none.
#[test]
fn show_is_for_terminals() {
    let chest = Chest::new();
    let plain = ["--keyword", "clear", "--words", "none"];
    let shown = run(chest.args(&[&plain[..], &["--show"]].concat())).done().stdout;
    let plain = run(chest.args(&plain)).done().stdout;
    let added: Vec<&str> = shown.lines().filter(|line| !plain.contains(line)).collect();
    assert!(!shown.contains('▀') && !shown.contains('\u{1b}'));
    assert_eq!(added, [""; 0]);
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

/// Pictures and texts stand in the order of the command line, or of a file of messages.
#[test]
fn pictures_stand_among_texts() {
    let fixture = Fixture::open("two-images");
    let folder = tempdir().unwrap();
    let pictures: Vec<String> = fixture.pictures().iter().map(|path| text(path)).collect();
    let model = text(&fixture.model());
    let [first, second] = &pictures[..] else { panic!("two pictures") };
    let out = text(&folder.path().join("out"));
    let prompt = |asked: &[&str]| {
        let rest =
            ["--max-new-tokens", "2", "--ignore-stop", "--no-report", "--json", "--out", &out];
        let args = [&["explain", "--model", &model][..], asked, &rest].concat();
        run(args).done().json()["rendered_prompt"].as_str().unwrap().to_owned()
    };
    let turns = prompt(&[
        "--text", "was", "--image", first, "--text", "is", "--image", second, "--prompt", "how",
    ]);
    let order = ["was", "<start_of_image>", "is", "<start_of_image>", "how"];
    let mut rest = turns.as_str();
    for part in order {
        rest = rest.split_once(part).unwrap_or_else(|| panic!("no {part} in order: {turns}")).1;
    }

    let file = folder.path().join("turns.json");
    let image = |path: &str| json!({ "type": "image", "path": path });
    let said = |text: &str| json!({ "type": "text", "text": text });
    let content = json!([said("was"), image(first), said("is"), image(second), said("how")]);
    fs::write(&file, json!([{ "role": "user", "content": content }]).to_string()).unwrap();
    assert_eq!(prompt(&["--messages", &text(&file), "--allow-outside"]), turns);

    let failed = |content: &Value, parts: &[&str]| {
        fs::write(&file, content.to_string()).unwrap();
        let args = ["explain", "--model", &model, "--messages", &text(&file), "--out", &out];
        run(args).failed(parts);
    };
    failed(&json!([{ "role": "doctor", "content": "a" }]), &["turns.json", "role \"doctor\""]);
    failed(&json!([{ "role": "assistant", "content": "a" }]), &["last message is not the user's"]);
    failed(&json!([]), &["turns.json", "no message"]);
    failed(&json!([{ "role": "user", "content": [{ "type": "sound" }] }]), &["turns.json"]);
    failed(&json!([{ "role": "user", "content": [image("none.png")] }]), &["none.png"]);
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
