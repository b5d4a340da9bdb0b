//! DICOM and `NIfTI`, in and out: on synthetic radiographs and series, whose patients are nobody.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use medgemma_explainer::medical;
use medgemma_explainer::ndarray::{Array4, Axis};
use ndarray_npy::NpzReader;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::support::{Run, names, record, run, text};

/// Phantoms as DICOM, in a folder of their own.
struct Files {
    root: TempDir,
}

impl Files {
    fn new(options: &[&str]) -> Self {
        let root = tempdir().unwrap();
        let set = text(&root.path().join("set"));
        let args = ["phantom", "--count", "1", "--out", &set];
        run(args.iter().chain(options)).done();
        Self { root }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.root.path().join("set").join(name)
    }

    fn out(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn explain(&self, picture: &Path, out: &str, more: &[&str]) -> Run {
        let [picture, out] = [text(picture), text(&self.out(out))];
        let args = ["explain", "--model", "phantom", "--image", &picture, "--out", &out];
        run(args.iter().chain(more))
    }
}

/// `[targets, images, rows, columns]`.
fn maps(folder: &Path) -> Array4<f32> {
    let file = fs::File::open(folder.join("explanation.npz")).unwrap();
    NpzReader::new(file).unwrap().by_name("image_relevancy").unwrap()
}

/// The same answer and the same map as from PNG, whichever end of the scale is white, within what one grey value of 256 costs.
#[test]
fn a_radiograph_is_what_its_png_is() {
    for (bits, photometric) in [("12", "monochrome2"), ("16", "monochrome1")] {
        let files = Files::new(&[
            "--size",
            "448",
            "--dicom",
            "cr",
            "--dicom-bits",
            bits,
            "--photometric",
            photometric,
        ]);
        let ask =
            ["--prompt", "Describe the radiograph.", "--keyword", "nodule", "--dtype", "float32"];
        let [png, dicom] = ["png", "dcm"].map(|kind| {
            files.explain(&files.file(&format!("000.{kind}")), kind, &ask).done();
            (record(&files.out(kind)), maps(&files.out(kind)))
        });
        assert_eq!(png.0["answer"], dicom.0["answer"], "{bits} {photometric}");
        let largest = png.1.iter().copied().fold(0.0, f32::max);
        let apart = (&png.1 - &dicom.1).iter().map(|it| it.abs()).fold(0.0, f32::max);
        assert!(apart < 0.03 * largest, "{bits} {photometric}: {apart} of {largest}");
        let source = &dicom.0["pictures"][0]["source"];
        assert_eq!(source["format"], "dicom");
        assert_eq!(source["recipe"], "cxr");
        assert_eq!(source["photometric"], photometric.to_uppercase());
        assert_eq!(source["orientation"]["directions"], serde_json::json!(["L", "F"]));
        assert_eq!(source["window"][0]["origin"], "tag");
        assert_eq!(dicom.0["pictures"][0]["sides"], serde_json::json!(["R", "L", "H", "F"]));
        assert_eq!(dicom.0["pictures"][0]["name"], "DICOM CR");
        let source = &png.0["pictures"][0]["source"];
        assert_eq!((&source["format"], &source["orientation"]), (&"png".into(), &Value::Null));
        assert!(source["notes"][0].as_str().unwrap().contains("never guessed"), "{source}");
    }
}

/// Slices of a series: told apart by their text, and those with the nodule have the largest part of what made "Yes". The volume that is
/// written lies in the scan, and the objects of the archive belong to its study.
#[test]
fn the_nodules_slices_have_the_largest_share() {
    let files = Files::new(&["--seed", "11", "--size", "448", "--dicom", "ct"]);
    let truth: Value =
        serde_json::from_slice(&fs::read(files.file("000-ct.json")).unwrap()).unwrap();
    let answer = format!("Yes, there is a nodule in the {}.", truth["zone"].as_str().unwrap());
    let [volume, objects] = ["map.nii.gz", "objects"].map(|name| text(&files.out(name)));
    let done = files
        .explain(
            &files.file("000-ct"),
            "out",
            &[
                "--recipe",
                "mr",
                "--prompt",
                "Is there a nodule?",
                "--answer",
                &answer,
                "--keyword",
                "Yes",
                "--nifti-out",
                &volume,
                "--dicom-out",
                &objects,
            ],
        )
        .done();
    let found = record(&files.out("out"));
    assert!(found["rendered_prompt"].as_str().unwrap().contains("SLICE 6"));
    let maps = maps(&files.out("out"));
    let shares: Vec<f32> = maps.index_axis(Axis(0), 0).outer_iter().map(|map| map.sum()).collect();
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by(|&a, &b| shares[b].total_cmp(&shares[a]));
    let with: Vec<u64> = truth["nodule_in_slices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it.as_u64().unwrap())
        .collect();
    assert!(with.contains(&(order[0] as u64 + 1)), "{shares:?}, the nodule is in {with:?}");
    for (index, picture) in found["pictures"].as_array().unwrap().iter().enumerate() {
        assert_eq!(picture["source"]["slice"]["number"], index + 1);
        assert_eq!(picture["sides"], serde_json::json!(["R", "L", "A", "P"]));
    }
    assert_eq!(
        names(&files.out("objects")),
        ["capture-1.dcm", "parametric-map-1.dcm", "report-1.dcm", "segmentation-1.dcm"],
        "{}",
        done.stderr
    );
    // Read again by the reading half: slices from foot to head, as the series lies.
    let options = medical::Options::default().with_recipe(Some(medical::Recipe::Mr));
    let slices = medical::open(Path::new(&volume), &options).unwrap();
    let brightest = |picture: &medical::MedicalPicture| {
        picture.rgb.pixels().map(|pixel| u64::from(pixel[0])).sum::<u64>()
    };
    let sums: Vec<u64> = slices.iter().map(brightest).collect();
    let largest = (0..sums.len()).max_by_key(|&at| sums[at]).unwrap();
    assert_eq!(largest, order[0], "{sums:?} against {shares:?}");
}

/// Nothing that names anybody in any file that is written, nor in what is printed: the identifying attributes of the source, its name and
/// its folder hold a mark that must not come out. Asked for, identifiers come.
#[test]
fn nothing_of_the_patient_comes_out() {
    const MARK: &str = "ZQMARK";
    let files = Files::new(&["--size", "224", "--dicom"]);
    let mut object = dicom_object::open_file(files.file("000.dcm")).unwrap();
    let texts = [
        tags::PATIENT_NAME,
        tags::PATIENT_ID,
        tags::OTHER_PATIENT_NAMES,
        tags::PATIENT_COMMENTS,
        tags::ACCESSION_NUMBER,
        tags::INSTITUTION_NAME,
        tags::REFERRING_PHYSICIAN_NAME,
        tags::STUDY_DESCRIPTION,
        tags::SERIES_DESCRIPTION,
        tags::STATION_NAME,
        tags::STUDY_ID,
        tags::OPERATORS_NAME,
        tags::PROTOCOL_NAME,
        tags::IMAGE_COMMENTS,
        tags::BODY_PART_EXAMINED,
        tags::REQUESTED_PROCEDURE_DESCRIPTION,
    ];
    for (index, tag) in texts.into_iter().enumerate() {
        let value = PrimitiveValue::from(format!("{MARK}{index}"));
        let vr = if tag == tags::PATIENT_NAME || tag == tags::OTHER_PATIENT_NAMES {
            VR::PN
        } else {
            VR::LO
        };
        object.put(DataElement::new(tag, vr, value));
    }
    let uids = [
        (tags::STUDY_INSTANCE_UID, "1.2.826.0.1.424242.1"),
        (tags::SERIES_INSTANCE_UID, "1.2.826.0.1.424242.2"),
    ];
    for (tag, uid) in uids {
        object.put(DataElement::new(tag, VR::UI, PrimitiveValue::from(uid)));
    }
    for tag in [tags::STUDY_DATE, tags::SERIES_DATE, tags::CONTENT_DATE, tags::PATIENT_BIRTH_DATE] {
        object.put(DataElement::new(tag, VR::DA, PrimitiveValue::from("19470131")));
    }
    let folder = files.out(&format!("{MARK}-ward"));
    fs::create_dir(&folder).unwrap();
    let path = folder.join(format!("{MARK}-name.dcm"));
    object.write_to_file(&path).unwrap();
    let all = [
        "--prompt",
        "Is there a nodule?",
        "--keyword",
        "nodule",
        "--regions",
        "cxr",
        "--reliance",
        "--certificate",
        "knock-out",
        "--figures",
        "panels,words",
        "--show",
    ];
    let done = files.explain(&path, "out", &all).done();
    let is_said = |bytes: &[u8]| {
        [MARK, "424242", "19470131"]
            .into_iter()
            .find(|mark| bytes.windows(mark.len()).any(|part| part == mark.as_bytes()))
    };
    assert_eq!(is_said(done.stdout.as_bytes()), None, "{}", done.stdout);
    assert_eq!(is_said(done.stderr.as_bytes()), None, "{}", done.stderr);
    let written = names(&files.out("out"));
    assert!(6 < written.len());
    for name in written {
        let file = files.out("out").join(&name);
        assert_eq!(is_said(&fs::read(&file).unwrap()), None, "{name}");
        if name == "explanation.npz" {
            let mut archive = zip::ZipArchive::new(fs::File::open(&file).unwrap()).unwrap();
            for index in 0..archive.len() {
                let mut bytes = Vec::new();
                archive.by_index(index).unwrap().read_to_end(&mut bytes).unwrap();
                assert_eq!(is_said(&bytes), None, "{name}");
            }
        }
    }
    files.explain(&path, "kept", &["--prompt", "Is there a nodule?", "--keep-identifiers"]).done();
    let kept = record(&files.out("kept"));
    let identifiers = &kept["pictures"][0]["source"]["identifiers"];
    assert_eq!(identifiers["study_instance_uid"], "1.2.826.0.1.424242.1");
    assert_eq!(identifiers["patient_id"], format!("{MARK}1"));
}

/// What does not fit is said before the model runs.
#[test]
fn what_does_not_fit_is_said() {
    let files = Files::new(&["--size", "224", "--dicom"]);
    let [png, dicom] = ["000.png", "000.dcm"].map(|name| files.file(name));
    let ask = |picture: &Path, more: &[&str]| {
        files.explain(picture, "out", &[&["--prompt", "Is there a nodule?"], more].concat())
    };
    let objects = text(&files.out("objects"));
    ask(&png, &["--dicom-out", &objects]).failed(&["no picture is a DICOM file"]);
    ask(&png, &["--recipe", "cxr"]).failed(&["--recipe is about DICOM and NIfTI"]);
    ask(&png, &["--window", "lung"])
        .failed(&["--window lung does not fit", "no DICOM or NIfTI file"]);
    ask(&dicom, &["--window", "min-max"])
        .failed(&["--window min-max does not fit", "CENTRE/WIDTH"]);
    ask(&dicom, &["--nifti-out", "map.png"]).failed(&[".nii or .nii.gz"]);
    ask(&dicom, &["--dicom-out", &objects, "--segment-above", "100"])
        .failed(&["from 0 to below 100"]);
    let mut object = dicom_object::open_file(&dicom).unwrap();
    object.put(DataElement::new(tags::VIEW_POSITION, VR::CS, PrimitiveValue::from("LL")));
    let sides = PrimitiveValue::Strs(["A".to_owned(), "F".to_owned()].into_iter().collect());
    object.put(DataElement::new(tags::PATIENT_ORIENTATION, VR::CS, sides));
    let lateral = files.file("lateral.dcm");
    object.write_to_file(&lateral).unwrap();
    ask(&lateral, &["--regions", "cxr"]).failed(&["shows the patient from the side"]);
    // The view alone says it, too.
    object.remove_element(tags::PATIENT_ORIENTATION);
    object.write_to_file(&lateral).unwrap();
    ask(&lateral, &["--regions", "cxr"]).failed(&["shows the patient from the side"]);
    let damaged = files.file("damaged.dcm");
    let bytes = fs::read(&dicom).unwrap();
    fs::write(&damaged, &bytes[..bytes.len() / 2]).unwrap();
    ask(&damaged, &[]).failed(&["damaged.dcm"]);
    assert!(!files.out("out").join("explanation.json").exists() && !files.out("objects").exists());
}
