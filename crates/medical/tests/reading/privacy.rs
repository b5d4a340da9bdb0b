//! Nothing that names a patient leaves the file: PS3.15 Annex E, table E.1-1, what the Basic Profile removes or replaces.

use medical_pictures::{Options, Recipe, open};
use tempfile::TempDir;

use crate::made::{Made, Tag};

/// Attributes of the Basic Profile, with the type that their value has.
const IDENTIFYING: &[(Tag, &str)] = &[
    ((0x0008, 0x0012), "DA"),
    ((0x0008, 0x0013), "TM"),
    ((0x0008, 0x0014), "UI"),
    ((0x0008, 0x0015), "DT"),
    ((0x0008, 0x0018), "UI"),
    ((0x0008, 0x0020), "DA"),
    ((0x0008, 0x0021), "DA"),
    ((0x0008, 0x0022), "DA"),
    ((0x0008, 0x0023), "DA"),
    ((0x0008, 0x002A), "DT"),
    ((0x0008, 0x0030), "TM"),
    ((0x0008, 0x0031), "TM"),
    ((0x0008, 0x0032), "TM"),
    ((0x0008, 0x0033), "TM"),
    ((0x0008, 0x0050), "SH"),
    ((0x0008, 0x0080), "LO"),
    ((0x0008, 0x0081), "ST"),
    ((0x0008, 0x0090), "PN"),
    ((0x0008, 0x0092), "ST"),
    ((0x0008, 0x0094), "SH"),
    ((0x0008, 0x009C), "PN"),
    ((0x0008, 0x0201), "SH"),
    ((0x0008, 0x1010), "SH"),
    ((0x0008, 0x1030), "LO"),
    ((0x0008, 0x103E), "LO"),
    ((0x0008, 0x1040), "LO"),
    ((0x0008, 0x1048), "PN"),
    ((0x0008, 0x1050), "PN"),
    ((0x0008, 0x1060), "PN"),
    ((0x0008, 0x1070), "PN"),
    ((0x0008, 0x1080), "LO"),
    ((0x0008, 0x1090), "LO"),
    ((0x0008, 0x1155), "UI"),
    ((0x0008, 0x2111), "ST"),
    ((0x0008, 0x4000), "LT"),
    ((0x0010, 0x0010), "PN"),
    ((0x0010, 0x0020), "LO"),
    ((0x0010, 0x0021), "LO"),
    ((0x0010, 0x0030), "DA"),
    ((0x0010, 0x0032), "TM"),
    ((0x0010, 0x0040), "CS"),
    ((0x0010, 0x1000), "LO"),
    ((0x0010, 0x1001), "PN"),
    ((0x0010, 0x1005), "PN"),
    ((0x0010, 0x1010), "AS"),
    ((0x0010, 0x1020), "DS"),
    ((0x0010, 0x1030), "DS"),
    ((0x0010, 0x1040), "LO"),
    ((0x0010, 0x1060), "PN"),
    ((0x0010, 0x1080), "LO"),
    ((0x0010, 0x1081), "LO"),
    ((0x0010, 0x1090), "LO"),
    ((0x0010, 0x2000), "LO"),
    ((0x0010, 0x2110), "LO"),
    ((0x0010, 0x2150), "LO"),
    ((0x0010, 0x2152), "LO"),
    ((0x0010, 0x2154), "SH"),
    ((0x0010, 0x2160), "SH"),
    ((0x0010, 0x2180), "SH"),
    ((0x0010, 0x21B0), "LT"),
    ((0x0010, 0x21F0), "LO"),
    ((0x0010, 0x4000), "LT"),
    ((0x0018, 0x0010), "LO"),
    ((0x0018, 0x1000), "LO"),
    ((0x0018, 0x1004), "LO"),
    ((0x0018, 0x1030), "LO"),
    ((0x0018, 0x1400), "LO"),
    ((0x0018, 0x4000), "LT"),
    ((0x0018, 0x700A), "SH"),
    ((0x0020, 0x000D), "UI"),
    ((0x0020, 0x000E), "UI"),
    ((0x0020, 0x0010), "SH"),
    ((0x0020, 0x0052), "UI"),
    ((0x0020, 0x0200), "UI"),
    ((0x0020, 0x3401), "CS"),
    ((0x0020, 0x4000), "LT"),
    ((0x0028, 0x4000), "LT"),
    ((0x0032, 0x0012), "LO"),
    ((0x0032, 0x1020), "LO"),
    ((0x0032, 0x1032), "PN"),
    ((0x0032, 0x1033), "LO"),
    ((0x0032, 0x1060), "LO"),
    ((0x0032, 0x1070), "LO"),
    ((0x0032, 0x4000), "LT"),
    ((0x0038, 0x0010), "LO"),
    ((0x0038, 0x0060), "LO"),
    ((0x0038, 0x0300), "LO"),
    ((0x0038, 0x0400), "LO"),
    ((0x0038, 0x0500), "LO"),
    ((0x0038, 0x4000), "LT"),
    ((0x0040, 0x0001), "AE"),
    ((0x0040, 0x0006), "PN"),
    ((0x0040, 0x0007), "LO"),
    ((0x0040, 0x0009), "SH"),
    ((0x0040, 0x0241), "AE"),
    ((0x0040, 0x0242), "SH"),
    ((0x0040, 0x0243), "SH"),
    ((0x0040, 0x0253), "SH"),
    ((0x0040, 0x0254), "LO"),
    ((0x0040, 0x0280), "ST"),
    ((0x0040, 0x1001), "SH"),
    ((0x0040, 0x1400), "LT"),
    ((0x0040, 0x2016), "LO"),
    ((0x0040, 0x2017), "LO"),
    ((0x0040, 0x2400), "LT"),
    ((0x0040, 0x3001), "LO"),
    ((0x0088, 0x0140), "UI"),
    ((0x0088, 0x0904), "LO"),
    ((0x0088, 0x0906), "ST"),
    ((0x3006, 0x0024), "UI"),
    ((0x4008, 0x0042), "LO"),
    ((0x4008, 0x0114), "PN"),
    ((0x4008, 0x4000), "ST"),
    ((0x0009, 0x0010), "LO"),
    ((0x0009, 0x1001), "LO"),
];

/// A value that occurs nowhere else and fits the type.
fn unique(i: usize, vr: &str) -> String {
    match vr {
        "DA" => format!("1913{:02}{:02}", i % 12 + 1, i % 28 + 1),
        "DT" => format!("1913010112{:04}", 1000 + i),
        "TM" => format!("1357{:02}.{:04}", i % 60, 7000 + i),
        "UI" => format!("1.2.826.77.{}", 910_000 + i),
        "AS" => format!("{:03}Y", 700 + i % 99),
        "DS" => format!("77{}.25", 1000 + i),
        _ => format!("QZX{i}W"),
    }
}

fn filled() -> (Made, Vec<String>) {
    let values: Vec<String> =
        IDENTIFYING.iter().enumerate().map(|(i, (_, vr))| unique(i, vr)).collect();
    let made = Made::sized(2, 2, &[1, 2, 3, 4]).modality("CT").text((0x0020, 0x0013), "IS", "4");
    let made = IDENTIFYING
        .iter()
        .zip(&values)
        .fold(made, |made, ((tag, vr), value)| made.text(*tag, vr, value));
    (made, values)
}

fn assert_nothing(text: &str, values: &[String], what: &str) {
    for value in values {
        assert!(!text.contains(value.as_str()), "{what} has {value}: {text}");
    }
}

#[test]
fn a_record_names_nobody() {
    let (made, values) = filled();
    for recipe in [None, Some(Recipe::Cxr), Some(Recipe::Plain), Some(Recipe::Mr)] {
        let picture = made.open(&Options::default().with_recipe(recipe)).unwrap().remove(0);
        assert_nothing(&serde_json::to_string(&picture.provenance).unwrap(), &values, "provenance");
        assert_nothing(&format!("{picture:?} {:?}", picture.source()), &values, "debug");
    }
}

#[test]
fn identifiers_are_there_for_those_who_ask() {
    let (made, values) = filled();
    let picture = made.open(&Options::default().with_keep_identifiers(true)).unwrap().remove(0);
    let identifiers = serde_json::to_string(&picture.provenance.identifiers).unwrap();
    let kept =
        [(0x0020, 0x000D), (0x0020, 0x000E), (0x0008, 0x0018), (0x0010, 0x0020), (0x0008, 0x0050)];
    for ((tag, _), value) in IDENTIFYING.iter().zip(&values) {
        assert_eq!(identifiers.contains(value.as_str()), kept.contains(tag), "{tag:?}");
    }
}

#[test]
fn messages_name_nobody() {
    let (made, values) = filled();
    let damaged = [
        made.clone().us((0x0028, 0x0010), 0),
        made.clone().without((0x7FE0, 0x0010)),
        made.clone().text((0x0028, 0x1053), "DS", "QZX1W"),
        made.clone().window("40", "0"),
        // What should be a code is a name.
        made.clone().text((0x0028, 0x0004), "CS", "Doe^QZX1W"),
        made.clone().with((0x0028, 0x0010), "UL", vec![1]),
    ];
    let options = Options::default().with_recipe(Some(Recipe::Plain));
    for made in damaged {
        let error = made.open(&options).unwrap_err();
        assert_nothing(&error.to_string(), &values, "a message");
        assert_nothing(&format!("{error:?}"), &values, "debug of an error");
    }
    let folder = TempDir::new().unwrap();
    made.write(folder.path(), "a");
    made.clone().text((0x0020, 0x000E), "UI", "1.2.826.77.5").write(folder.path(), "b");
    let error = open(folder.path(), &Options::default()).unwrap_err();
    assert_nothing(&error.to_string(), &values, "of two series");
}
