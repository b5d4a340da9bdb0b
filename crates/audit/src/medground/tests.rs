//! Made-up files in the form of each data set, and overlaps worked out by hand.

use relevancy_visualization::image::RgbImage;

use super::*;
use crate::WordMap;

/// A folder with a file of each kind, and sources that name them.
struct Made {
    folder: tempfile::TempDir,
    sources: Sources,
}

impl Made {
    fn new(records: &[(&str, usize)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |annotations: &str, pictures: &str| {
            let [annotations, pictures] = [annotations, pictures].map(|it| folder.path().join(it));
            Some(Source { annotations, pictures })
        };
        let sources = Sources {
            benchmark: folder.path().to_owned(),
            imagenome: at("gold.txt", "files"),
            vindr: at("test.csv", "vindr"),
            padchest: at("studies.json", "padchest"),
        };
        let made = Self { folder, sources };
        let record = |(dataset, index): &(&str, usize)| {
            format!(
                r#"{{"model": "m", "dataset": "{dataset}", "index": {index}, "answer": "Yes", "prediction_direct": "Yes\n"}}"#
            )
        };
        let records: Vec<String> = records.iter().map(record).collect();
        made.write("direct.json", &format!("[{}]", records.join(", ")));
        made
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn picture(&self, name: &str, [width, height]: [u32; 2]) {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        RgbImage::new(width, height).save(path).unwrap();
    }

    fn read(&self) -> Vec<Item> {
        read(&self.sources, None).unwrap()
    }

    fn reasons(&self) -> Vec<String> {
        let reason = |item: Item| item.case.map_or_else(|bad| bad.reason, |_| String::new());
        self.read().into_iter().map(reason).collect()
    }
}

fn all(dataset: &str, count: usize) -> Vec<(&str, usize)> {
    (0..count).map(|index| (dataset, index)).collect()
}

fn labels(items: &[Item]) -> Vec<&str> {
    items.iter().map(|item| item.case.as_ref().unwrap().label.as_deref().unwrap()).collect()
}

const VINDR: &str = "image_id,class_name,x_min,y_min,x_max,y_max\n";
const GOLD: &str =
    "patient_id\tstudy_id\timage_id\tsentence\tlabel_name\tcategoryID\trelation\tcoord_original\n";

fn studies(findings: &str) -> String {
    format!(r#"[{{"StudyID": "s", "ImageID": "a.png", "findings": [{findings}]}}]"#)
}

#[test]
fn vindr_is_grouped_by_picture_and_class() {
    let made = Made::new(&all("vindr_cxr", 4));
    let rows = "b,nodule,1,1,9,9\n\
        b,Pleural effusion,0.5,2.5,20.4,30.6\n\
        a,No finding,,,,\n\
        b,\"Mass, or \"\"nodule\"\"\",3,3,7,7\n\
        \n\
        a,nodule,1,2,3,4\n\
        b,Pleural effusion,40,5,48,9\n\
        ,nodule,1,2,3,4\n";
    made.write("test.csv", &(VINDR.to_owned() + rows));
    made.picture("vindr/a.png", [50, 40]);
    made.picture("vindr/b.jpg", [50, 40]);
    let items = made.read();
    // Capitals come before small letters.
    assert_eq!(labels(&items), ["nodule", "Mass, or \"nodule\"", "Pleural effusion", "nodule"]);
    let case = items[2].case.as_ref().unwrap();
    assert_eq!(case.id, "vindr-2");
    assert_eq!(items[2].size, Some([50, 40]));
    // Halves go to the even pixel.
    assert_eq!(case.boxes, [[0.0, 2.0, 20.0, 31.0], [40.0, 5.0, 48.0, 9.0]]);
    assert_eq!(case.image, Files::One(made.folder.path().join("vindr/b.jpg")));
    let question = "Is there evidence of Pleural effusion in the image?".to_owned() + REQUEST;
    assert_eq!(case.question, question);
    let words = [&case.answer, &case.word, &case.against, &case.patient, &case.group];
    let words = words.map(|word| word.as_deref().unwrap());
    assert_eq!(words, ["Yes", "Yes", "No", "b", "vindr_cxr"]);
}

#[test]
fn imagenome_is_grouped_by_five_keys_and_numbers_go_by_size() {
    let made = Made::new(&all("imagenome", 5));
    let row = |keys: &str, rest: &str| format!("{}\t{rest}\n", keys.replace(' ', "\t"));
    let rows = [
        row("100 7 x.dcm said lung.opacity anatomicalfinding", "1\t[1, 2, 30, 40]"),
        row("99 8 y.dcm said lung.opacity disease", "1\t[1, 2, 3, 4]"),
        row("100 7 x.dcm said lung.opacity anatomicalfinding", "1\t[5, 6, 7.5, 8]"),
        // Related by "no", of another category, without a study.
        row("99 8 y.dcm said Effusion disease", "0\t[1, 2, 3, 4]"),
        row("99 8 y.dcm said tube device", "1\t[1, 2, 3, 4]"),
        row("99  y.dcm said tube disease", "1\t[1, 2, 3, 4]"),
        row("99 8 y.dcm \"said\tand\nsaid\" lung.opacity anatomicalfinding", "1\t[2, 2, 3, 4]"),
        row("99 10 z.dcm said cyst disease", "1\t[1, 2, 3]"),
        row("99 10 z.dcm said mass disease", "1\t[1, 2, 3, 4]"),
    ];
    made.write("gold.txt", &(GOLD.to_owned() + &rows.concat()));
    made.picture("files/p99/p99/s8/y.jpg", [40, 50]);
    made.picture("files/p10/p100/s7/x.jpg", [40, 50]);
    let items = made.read();
    let boxes = |index: usize| &items[index].case.as_ref().unwrap().boxes;
    // 99 before 100; a text would be sorted the other way round. Study 8 before 10; of two categories the first in the alphabet.
    assert_eq!(boxes(0)[..], [[2.0, 2.0, 3.0, 4.0]]);
    assert_eq!(boxes(1)[..], [[1.0, 2.0, 3.0, 4.0]]);
    let reason = |index: usize| &items[index].case.as_ref().unwrap_err().reason;
    assert!(reason(2).contains("line 10") && reason(2).contains("no box"), "{}", reason(2));
    assert!(reason(3).contains("p99/p99/s10/z.jpg") && reason(3).contains("MIMIC"));
    assert_eq!(boxes(4)[..], [[1.0, 2.0, 30.0, 40.0], [5.0, 6.0, 7.5, 8.0]]);
    assert_eq!(items[4].case.as_ref().unwrap().patient.as_deref(), Some("100"));
}

#[test]
fn a_column_with_a_letter_is_sorted_as_text() {
    let made = Made::new(&all("imagenome", 2));
    let rows = "99\t1\tx\t\topacity\tdisease\t1\t[1, 2, 3, 4]\n\
        100\t1\tx\t\tcyst\tdisease\t1\t[1, 2, 3, 4]\n\
        a\t1\tx\t\tcyst\tdisease\t0\t\n";
    made.write("gold.txt", &(GOLD.to_owned() + rows));
    let reasons = made.reasons();
    assert!(reasons[0].contains("p10/p100") && reasons[1].contains("p99/p99"), "{reasons:?}");
}

#[test]
fn padchest_counts_abnormal_findings_with_a_box() {
    let made = Made::new(&all("padchest_gr", 4));
    let findings = r#"
        {"abnormal": false, "boxes": [[0, 0, 1, 1]], "extra_boxes": [], "labels": ["Normal"]},
        {"abnormal": true, "boxes": [], "extra_boxes": [], "labels": ["scoliosis"]},
        {"abnormal": true, "boxes": [[0.1, 0.25, 0.55, 0.75]], "extra_boxes": [[0, 0, 0.1, 0.1]], "labels": ["nodule", "mass"]},
        {"abnormal": true, "boxes": null, "extra_boxes": [[0.5, 0, 1, 0.5]], "labels": ["cyst"], "locations": []},
        {"abnormal": true, "boxes": [[0, 1, 1]], "labels": ["line"]},
        {"abnormal": true, "boxes": [[0, 0, 0.0001, 1]], "labels": ["thin"]}"#;
    made.write("studies.json", &studies(findings));
    made.picture("padchest/a.png", [40, 20]);
    let items = made.read();
    let case = items[0].case.as_ref().unwrap();
    assert_eq!(case.boxes, [[4.0, 5.0, 22.0, 15.0], [0.0, 0.0, 4.0, 2.0]]);
    assert_eq!(labels(&items[..2]), ["nodule or mass", "cyst"]);
    assert_eq!((case.id.as_str(), case.patient.as_deref()), ("padchest-0", Some("s")));
    let reasons = made.reasons();
    assert!(reasons[2].contains("no box") && reasons[3].contains("no box has an area"));
}

#[test]
fn only_the_first_studies_count() {
    let made = Made::new(&[("padchest_gr", 1999), ("padchest_gr", 2000)]);
    let study = r#"{"ImageID": "a.png", "PatientID": 7, "findings": [{"abnormal": true, "boxes": [[0, 0, 1, 1]], "labels": ["x"]}]}"#;
    made.write("studies.json", &format!("[{}]", vec![study; 2001].join(", ")));
    made.picture("padchest/a.png", [4, 4]);
    let items = made.read();
    assert_eq!(items[0].case.as_ref().unwrap().patient.as_deref(), Some("7"));
    assert!(made.reasons()[1].contains("2000 findings"));
}

#[test]
fn what_is_missing_is_told_and_the_others_stand() {
    let wanted = [("vindr_cxr", 0), ("imagenome", 3), ("vindr_cxr", 1), ("chexpert", 0)];
    let mut made = Made::new(&[&wanted[..], &[("padchest_gr", 0), ("vindr_cxr", 0)]].concat());
    made.sources.padchest = None;
    made.write("test.csv", &(VINDR.to_owned() + "a,x,0,0,4,4\nb,x,0,0,4,4\nc,x,0,0,4,4\n"));
    made.picture("vindr/b.png", [4, 4]);
    made.write("vindr/a.dicom", "DICM");
    let items = made.read();
    let keys: Vec<(&str, usize)> =
        items.iter().map(|item| (item.dataset.as_str(), item.index)).collect();
    let all =
        [("chexpert", 0), ("imagenome", 3), ("padchest_gr", 0), ("vindr_cxr", 0), ("vindr_cxr", 1)];
    assert_eq!(keys, all);
    let expected = ["unknown", "gold.txt", "were given", "a.png or a.jpg or a.jpeg: DICOM", ""];
    for (reason, expected) in made.reasons().iter().zip(expected) {
        assert!(reason.contains(expected) && reason.is_empty() == expected.is_empty(), "{reason}");
    }
    assert_eq!(items[3].case.as_ref().unwrap_err().id, "vindr-0");
    assert!(items[4].case.is_ok());
}

#[test]
fn files_that_would_move_numbers_are_refused() {
    let reason = |rows: &[u8]| {
        let made = Made::new(&[("vindr_cxr", 0)]);
        std::fs::write(made.folder.path().join("test.csv"), rows).unwrap();
        made.reasons().remove(0)
    };
    let with = |rows: &[u8]| reason(&[VINDR.as_bytes(), rows].concat());
    assert!(with(b"a,x,0,0,4,4\nb,x,0\n").contains("line: 3"));
    assert!(with(b"a,\xff,0,0,4,4\n").to_lowercase().contains("utf-8"));
    assert!(reason(b"image_id,class_name\n").contains("no column `x_min`"));
    assert!(with(b"").contains("0 findings"));
    assert!(with(b"a,x,0,,4,4\n").contains("line 2"));
    assert!(with(b"a,x,0,inf,4,4\n").contains("is no box"));
    assert!(with(b"a,x,4,4,4,8\n").contains("no picture"));
    // A quote that is never closed swallows the rest of the file.
    assert!(with(b"a,x,0,0,4,4\n\"b,x,0,0,4,4\nc,x,0,0,4,4\n").contains("line"));
    let made = Made::new(&[("padchest_gr", 0)]);
    made.write("studies.json", r#"[{"ImageID": 7, "findings": []}]"#);
    assert!(made.reasons()[0].contains("studies.json"));
}

#[test]
fn an_id_does_not_lead_out_of_the_folder() {
    let made = Made::new(&all("vindr_cxr", 8));
    let ids = ["../a", "/a", "..", ".", "b/../../a", "c\\a", "d/", "e:a"];
    let rows: Vec<String> = ids.iter().map(|id| format!("{id},x,0,0,4,4\n")).collect();
    made.write("test.csv", &(VINDR.to_owned() + &rows.concat()));
    made.picture("a.png", [4, 4]);
    made.picture("vindr/kept.png", [4, 4]);
    for reason in made.reasons() {
        assert!(reason.contains("plain name"), "{reason}");
    }
    let made = Made::new(&all("imagenome", 3));
    let row = |ids: &str| format!("{ids}\t\tx\tdisease\t1\t[0, 0, 4, 4]\n");
    let rows = ["../../..\ts\ta.dcm", "p\t../../..\ta.dcm", "p\ts\t../a.dcm"].map(row);
    made.write("gold.txt", &(GOLD.to_owned() + &rows.concat()));
    assert!(made.reasons().iter().all(|reason| reason.contains("plain name")));
    let made = Made::new(&[("padchest_gr", 0)]);
    let text = studies(r#"{"abnormal": true, "boxes": [[0, 0, 1, 1]], "labels": ["x"]}"#);
    made.write("studies.json", &text.replace("a.png", "../a.png"));
    made.picture("a.png", [4, 4]);
    assert!(made.reasons()[0].contains("plain name"));
}

#[test]
fn a_picture_of_another_size_is_told() {
    let made = Made::new(&all("vindr_cxr", 3));
    made.write("test.csv", &(VINDR.to_owned() + "a,x,0,0,101,90\na,y,0,0,2000,90\nb,x,0,0,1,1\n"));
    made.picture("vindr/a.png", [100, 100]);
    made.write("vindr/b.png", "no picture");
    let reasons = made.reasons();
    assert_eq!(reasons[0], "");
    assert!(reasons[1].contains("100 × 100") && reasons[1].contains("original size"));
    assert!(reasons[2].contains("b.png is no picture"));
}

#[test]
fn questions_of_one_model() {
    let made = Made::new(&[]);
    let record = |model: &str, index: usize, answer: &str| {
        format!(
            r#"{{"model": "{model}", "dataset": "vindr_cxr", "index": {index}, "answer": "{answer}"}}"#
        )
    };
    let records = [record("a", 5, "Yes"), record("b", 3, "No"), record("b", 5, "Yes")];
    made.write("direct.json", &format!("[{}]", records.join(",")));
    let indices = |model| {
        let items = read(&made.sources, model).unwrap();
        items.iter().map(|item| item.index).collect::<Vec<_>>()
    };
    assert_eq!(
        (indices(None), indices(Some("a")), indices(Some("b"))),
        (vec![3, 5], vec![5], vec![3, 5])
    );
    assert!(made.reasons()[0].contains("another than \"Yes\""));
    let error = read(&made.sources, Some("c")).unwrap_err();
    assert!(error.to_string().ends_with("its models are a, b"), "{error}");
    made.write("direct.json", r#"[{"model": "a"}]"#);
    assert!(matches!(read(&made.sources, None), Err(Error::Benchmark { .. })));
    std::fs::remove_file(made.folder.path().join("direct.json")).unwrap();
    assert!(matches!(read(&made.sources, None), Err(Error::Benchmark { .. })));
}

#[test]
fn a_picture_lies_in_the_middle_of_the_square() {
    let sides = |size: [u32; 2]| {
        let whole = [0.0, 0.0, f64::from(size[0]), f64::from(size[1])];
        Square::of(size).unwrap().box_in_square(whole).to_vec()
    };
    assert_eq!(sides([224, 224]), [0.0, 0.0, 224.0, 224.0]);
    assert_eq!(sides([448, 224]), [0.0, 56.0, 224.0, 168.0]);
    assert_eq!(sides([112, 448]), [84.0, 0.0, 140.0, 224.0]);
    // 0.224 · 333 = 74.592 becomes 75, and (224 − 75) / 2 is 74 whole pixels.
    let found = sides([1000, 333]);
    let expected = [0.0, 74.0, 224.0, 148.592];
    assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?}");
    assert_eq!(Square::of([0, 5]), None);
}

/// A map whose cells are pixels of the square, over a picture that fills it.
fn fine(boxes: &[([usize; 4], f32)]) -> WordMap {
    let mut values = vec![0.0; 224 * 224];
    for &([x0, y0, x1, y1], value) in boxes {
        for y in y0..y1 {
            values[y * 224 + x0..y * 224 + x1].fill(value);
        }
    }
    WordMap { picture: 0, grid: [224, 224], placement: [0.0, 0.0, 224.0, 224.0], values }
}

#[test]
fn boxes_are_those_of_large_components_the_best_first() {
    // 405 faint pixels below the quantile, 45 above it: 20 in one component, 16 in another, 9 in one that is too small.
    let faint = ([100, 100, 127, 115], 1.0);
    let map = fine(&[
        faint,
        ([10, 20, 15, 24], 3.0),
        ([50, 60, 54, 64], 5.0),
        ([200, 200, 203, 203], 9.0),
    ]);
    let found = found_boxes(&map, [224, 224]).unwrap();
    assert_eq!(found, [[50.0, 60.0, 54.0, 64.0], [10.0, 20.0, 15.0, 24.0]]);
    // Joined by a corner the small one belongs to its neighbour.
    let map =
        fine(&[faint, ([10, 20, 15, 24], 3.0), ([50, 60, 54, 64], 5.0), ([54, 64, 57, 67], 9.0)]);
    let found = found_boxes(&map, [224, 224]).unwrap();
    assert_eq!(found, [[50.0, 60.0, 57.0, 67.0], [10.0, 20.0, 15.0, 24.0]]);
    // At most ten: of twelve the two weakest are left out.
    let parts: Vec<([usize; 4], f32)> =
        (0..12).map(|at| ([at * 10, 0, at * 10 + 4, 4], 2.0 + at as f32)).collect();
    // The faint pixels are nine tenths.
    let map = fine(&[&parts[..], &[([0, 100, 216, 108], 1.0)]].concat());
    let found = found_boxes(&map, [224, 224]).unwrap();
    assert_eq!(found.len(), 10);
    assert_eq!((found[0][0], found[9][0]), (110.0, 20.0));
}

#[test]
fn a_map_that_says_nothing_has_no_box() {
    let mut map = fine(&[]);
    assert!(found_boxes(&map, [224, 224]).unwrap().is_empty());
    map.values.fill(0.7);
    assert!(found_boxes(&map, [224, 224]).unwrap().is_empty());
    map.placement = [500.0, 500.0, 600.0, 600.0];
    assert!(found_boxes(&map, [224, 224]).unwrap().is_empty());
    assert!(found_boxes(&map, [0, 0]).is_err());
    map.placement = [0.0, 0.0, 0.0, 224.0];
    assert!(found_boxes(&map, [224, 224]).unwrap_err().contains("no rectangle"));
    map = fine(&[]);
    map.values[7] = f32::NAN;
    assert!(found_boxes(&map, [224, 224]).is_err());
    map.grid = [usize::MAX, 2];
    assert!(found_boxes(&map, [224, 224]).is_err());
    map = WordMap { grid: [0, 0], values: Vec::new(), ..map };
    assert!(found_boxes(&map, [224, 224]).is_err());
}

/// Cells of a picture whose size is no multiple of the square's: what is zero stays zero, or the quantile would be another.
#[test]
fn values_of_cells_do_not_leak() {
    let mut map = fine(&[([100, 100, 104, 104], 1.0)]);
    for side in [1000, 1237, 2021] {
        map.placement = [0.0, 0.0, f64::from(side), f64::from(side)];
        let found = found_boxes(&map, [side, side]).unwrap();
        assert_eq!(found, [[100.0, 100.0, 104.0, 104.0]]);
    }
}

#[test]
fn what_lies_outside_of_a_map_is_no_part_of_it() {
    // Two cells over a wide picture: linear between their middles. The rows of padding have no value, or the values above zero would be
    // others.
    let map = WordMap {
        picture: 0,
        grid: [1, 2],
        placement: [0.0, 0.0, 448.0, 224.0],
        values: vec![-2.0, 2.0],
    };
    // Of 224 columns 56 are at the least and 56 at the most; the quantile of those above is the most.
    assert_eq!(found_boxes(&map, [448, 224]).unwrap(), [[168.0, 56.0, 224.0, 168.0]]);
}

#[test]
fn areas_under_several_boxes_count_once() {
    let found = Overlap::of(
        &[[0.0, 0.0, 4.0, 4.0], [2.0, 2.0, 6.0, 6.0]],
        &[[4.0, 0.0, 8.0, 6.0], [4.0, 0.0, 6.0, 6.0]],
    );
    // 16 + 16 − 4 predicted, 24 right; both where the second predicted box is right of 4: 2 · 4.
    let (predicted, right, both) = (28.0, 24.0, 8.0);
    let expected = Overlap {
        iou: both / (predicted + right - both),
        precision: both / predicted,
        recall: both / right,
        f1: 2.0 * both / (predicted + right),
    };
    for (found, expected) in [
        (found.iou, expected.iou),
        (found.precision, expected.precision),
        (found.recall, expected.recall),
        (found.f1, expected.f1),
    ] {
        assert!((found - expected).abs() < 1e-12, "{found} and {expected}");
    }
    let one = [[0.0, 0.0, 1.0, 1.0]];
    let whole = Overlap { iou: 1.0, precision: 1.0, recall: 1.0, f1: 1.0 };
    assert_eq!(Overlap::of(&one, &one), whole);
    assert_eq!(Overlap::of(&[], &[[1.0, 1.0, 1.0, 5.0]]), whole);
    assert_eq!(Overlap::of(&[], &one), Overlap::default());
    assert_eq!(Overlap::of(&one, &[]), Overlap::default());
    assert_eq!(Overlap::of(&[[f64::NAN, 0.0, 1.0, 1.0]], &one), Overlap::default());
}

/// The released scorer would compare boxes in the square with boxes in the original picture; a picture twice as wide as the square tells.
#[test]
fn map_and_truth_are_in_the_same_pixels() {
    let made = Made::new(&[("vindr_cxr", 0)]);
    made.write("test.csv", &(VINDR.to_owned() + "a,x,100,40,200,80\n"));
    made.picture("vindr/a.png", [448, 224]);
    let item = made.read().remove(0);
    // A cell for each pixel of the square that the picture covers.
    let values = (0..112 * 224).map(|at| {
        let (x, y) = (at % 224, at / 224);
        let is_inside = (50..100).contains(&x) && (20..40).contains(&y);
        // So much is faint that the quantile lies between.
        if is_inside { 5.0 } else { f32::from(u8::from((64..104).contains(&y))) }
    });
    let map = WordMap {
        picture: 0,
        grid: [112, 224],
        placement: [0.0, 0.0, 448.0, 224.0],
        values: values.collect(),
    };
    let row = BenchmarkRow::new("relevancy", "m", &item, Some(&map)).unwrap();
    assert_eq!(row.gt_boxes, [[50.0, 76.0, 100.0, 96.0]]);
    assert_eq!(row.pred_boxes, row.gt_boxes);
    let native = &item.case.as_ref().unwrap().boxes;
    assert!(Overlap::of(&row.pred_boxes, native).iou < 0.01);

    let json = serde_json::to_value(&row).unwrap();
    let names: Vec<&String> = json.as_object().unwrap().keys().collect();
    let expected = ["method", "model", "split", "dataset", "index", "pred_boxes", "gt_boxes"];
    assert_eq!(names, expected);
    assert_eq!(serde_json::from_value::<BenchmarkRow>(json).unwrap(), row);

    // A case without a map stays in the mean.
    let silent = BenchmarkRow::new("relevancy", "m", &item, None).unwrap();
    let other = BenchmarkRow { method: "another".to_owned(), ..silent.clone() };
    let scores = score(&[row, silent, other]);
    assert_eq!(scores.len(), 2);
    assert_eq!((scores[0].method.as_str(), scores[0].rows), ("another", 1));
    assert_eq!((scores[1].rows, scores[1].split.as_str()), (2, "direct"));
    assert_eq!(scores[1].percent, Overlap { iou: 50.0, precision: 50.0, recall: 50.0, f1: 50.0 });

    let elsewhere = WordMap { picture: 1, ..map };
    assert!(BenchmarkRow::new("relevancy", "m", &item, Some(&elsewhere)).is_err());
}
