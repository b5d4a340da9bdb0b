//! Certificates as a script sees them, of the models that come with the program.

use crate::contract::array;
use crate::reliance::Tagged;
use crate::support::{explain, island, names, record, run};
use integration_tests::Fixture;
use integration_tests::ndarray::{Array2, Array4, Ix2, Ix4};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// In how many of the first places of the order stands a cell that a mask reaches into, and of how many.
fn on_mask(tagged: &Tagged, mask: &str, first: usize) -> usize {
    let mask = image::open(tagged.file(mask)).unwrap().into_luma8();
    let side = mask.width() / 16;
    let record = record(&tagged.out());
    let start = record["images"][0]["positions"][0].as_u64().unwrap() as i64;
    let order: Array2<i64> = array::<_, Ix2>(&tagged.out(), "certificate_order");
    let is_on = |position: &&i64| {
        let cell = (**position - start) as u32;
        let (x, y) = (cell % 16 * side, cell / 16 * side);
        (0..side * side).any(|at| 0 < mask.get_pixel(x + at % side, y + at / side).0[0])
    };
    order.row(0).iter().take(first).filter(is_on).count()
}

/// Both models say "opacity", and the map of either is faithful to it: to the opacity, and to the tag.
#[test]
fn the_map_of_a_shortcut_certifies_the_tag() {
    let tagged = Tagged::new();
    for (model, mask) in
        [("phantom", "000-mask-0-opacity.png"), ("phantom-shortcut", "000-mask-portable.png")]
    {
        let asked = ["--keyword", "opacity", "--certificate", "knock-out"];
        let more = [&asked[..], &["--method", "occlusion-knockout"]].concat();
        let target = tagged.target(model, &more);
        let found = &target["certificate"]["knock-out"];
        let number = |field: &str| found[field].as_f64().unwrap();
        assert!(
            0.5 < number("srg") && number("p") <= 0.05 && 1.0 < number("z"),
            "{model}: {found}"
        );
        assert_eq!(found["undefined"], Value::Null);
        assert!(1.0 < number("comprehensiveness"), "{model}: {found}");
        assert!(
            number("sufficiency").abs() < number("comprehensiveness") / 4.0,
            "{model}: {found}"
        );
        let parts = &found["random_parts"];
        assert!(parts["rest"].as_f64().unwrap() < parts["first"].as_f64().unwrap(), "{parts}");
        // The true drop of every cell is a map that no control is ahead of either.
        assert!(found["methods"][0]["p"].as_f64().unwrap() <= 0.05, "{model}: {found}");
        // The tag covers few cells.
        assert_eq!(on_mask(&tagged, mask, 2), 2, "{model}");
    }
}

#[test]
fn record_arrays_figure_and_page_have_the_certificate() {
    let tagged = Tagged::new();
    let asked = ["--keyword", "opacity", "--certificate", "knock-out,mean-embedding"];
    let more = ["--certificate-percent", "2,16", "--certificate-controls", "20", "--words", "none"];
    let done = run(tagged.args("phantom", &[&asked[..], &more].concat())).done();
    assert!(done.stdout.contains("ahead of its controls by 2 of 2"), "{}", done.stdout);
    let (out, record) = (tagged.out(), record(&tagged.out()));
    let settings = &record["certificate"];
    assert_eq!(settings["operators"], serde_json::json!(["knock-out", "mean-embedding"]));
    assert_eq!((&settings["controls"], &settings["seed"]), (&20.into(), &0.into()));
    let target = &record["targets"][0];
    assert_eq!(target["certificate_figure"], "certificate-0.png");
    assert!(record["files"]["figures"].to_string().contains("certificate-0.png"));
    assert!(target["certificate"].get("blur").is_none());
    let shares: Vec<f64> =
        array::<f64, integration_tests::ndarray::Ix1>(&out, "certificate_fractions").to_vec();
    assert_eq!(shares, [0.0, 0.02, 0.16, 1.0]);
    let curves: Array4<f32> = array::<_, Ix4>(&out, "certificate_curves");
    assert_eq!(curves.dim(), (1, 2, 2, 4));
    for (operator, name) in ["knock-out", "mean-embedding"].into_iter().enumerate() {
        let found = &target["certificate"][name];
        assert_eq!(found["controls"].as_array().unwrap().len(), 20);
        for (which, field) in ["most_first", "least_first"].into_iter().enumerate() {
            for (at, left) in found[field].as_array().unwrap().iter().enumerate() {
                let apart = f64::from(curves[[0, operator, which, at]]) - left.as_f64().unwrap();
                assert!(apart.abs() < 1e-6);
            }
        }
    }
    let page = fs::read(out.join("report.html")).unwrap();
    let shown = island(std::str::from_utf8(&page).unwrap());
    let evidence = &shown["targets"][0]["evidence"];
    assert_eq!(evidence["badge"], "ahead of its controls by 2 of 2");
    assert_eq!(evidence["charts"].as_array().unwrap().len(), 2);
    assert!(!evidence.to_string().contains("correct"), "a certificate never says that");
    run(["report", &out.display().to_string()]).done();
    assert_eq!(fs::read(out.join("report.html")).unwrap(), page, "from the folder: another page");
}

#[test]
fn where_the_picture_adds_nothing_there_is_none() {
    let tagged = Tagged::new();
    // "zone" follows "upper" whatever there is to see.
    let asked = ["--keyword", "zone", "--certificate", "mean-embedding,blur"];
    let target = tagged.target("phantom", &asked);
    for operator in ["mean-embedding", "blur"] {
        let found = &target["certificate"][operator];
        assert!(found["undefined"].as_str().unwrap().contains("next to nothing"), "{found}");
        assert_eq!((&found["srg"], &found["p"]), (&Value::Null, &Value::Null));
        let worth = found["whole"].as_f64().unwrap() - found["bare"].as_f64().unwrap();
        assert!(worth.abs() < 0.1, "{worth}");
    }
    let done = run(tagged.args("phantom", &asked)).done();
    assert!(done.stdout.contains("the answer does not depend on the picture"), "{}", done.stdout);
}

#[test]
fn what_does_not_fit_is_refused_before_the_model_runs() {
    let fixture = Fixture::open("short-window");
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    let refused = |more: &[&str], part: &str| explain(&fixture, &out, more).refused(part);
    refused(&["--certificate-controls", "19"], "--certificate");
    refused(
        &["--certificate", "sharpen"],
        "[possible values: knock-out, mean-embedding, blur, road, full]",
    );
    refused(&["--certificate", "--reproduce", "seed"], "cannot be used with");
    let failed = |more: &[&str], parts: &[&str]| {
        let _ = explain(&fixture, &out, more).failed(parts);
        assert_eq!(names(root.path()), Vec::<String>::new(), "{more:?}");
    };
    failed(&["--certificate", "--certificate-controls", "18"], &["18 controls", "19 to 999"]);
    failed(&["--certificate", "--certificate-percent", "4,2"], &["shares of a certificate ascend"]);
    failed(&["--certificate", "--certificate-percent", "100"], &["shares of a certificate ascend"]);
    assert!(!Path::new(&out).exists());
}
