//! A document made by hand: written, read back, and held against the schema.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use attention_relevancy::ndarray::{Array1, Array2};
use attention_relevancy::{
    Explanation, Foils, HeadMaps, HeadShares, ImageGrid, PatchMap, Score, SinkFinder, SinkRule,
    Target, TokenLayout, Unavailable, ndarray,
};
use medical_pictures::{Format, Provenance, Recipe};
use relevancy_visualization::image::RgbImage;
use relevancy_visualization::{Orientation, OverlayOptions, RegionSpec, Sides};

use crate::record::{
    BlankRecord, GenerationRecord, MissingRecord, ModelRecord, RelianceSettings, SamplingRecord,
    Settings, SinksRecord, TemplateTokens, Timings, WeightFile, sha256,
};
use crate::target::TargetParts;
use crate::*;

const TOKENS: usize = 10;
const ANSWER: &str = "Ein Ödem, {\"box_2d\": [100, 100, 600, 600], \"label\": \"Ödem\"}";

/// A row that differs from token to token and from `seed` to `seed`.
fn row(seed: usize) -> Array1<f32> {
    Array1::from_shape_fn(TOKENS, |at| ((7 * at + 3 * seed) % 11) as f32 / 9.0)
}

fn table(rows: usize, columns: usize, seed: usize) -> Array2<f32> {
    let value = |(y, x)| ((5 * y + 3 * x + seed) % 13) as f32 / 7.0;
    Array2::from_shape_fn((rows, columns), value)
}

/// One picture of 2×2 cells behind a token of text, then text; the answer are the last three tokens.
fn explanation(positions: std::ops::Range<usize>, asked: bool) -> TargetExplanation {
    let seed = positions.start;
    let grid = (1..5, ImageGrid { image: 0, rows: 2, columns: 2 });
    let layout = TokenLayout::from_images(TOKENS, [grid]).unwrap();
    let token_ids: Vec<u32> = positions.clone().map(|position| position as u32).collect();
    let targets = positions.clone().zip(&token_ids).map(|(at, &id)| Target::new(at, id).unwrap());
    let score = |_| Score::new(3.25, -0.1, 4);
    let maps = HeadMaps::new(1, table(2, TOKENS, 1), table(2, TOKENS, 2));
    let heads =
        HeadShares::new(table(3, 2, 3), table(3, 2, 4), table(3, 2, 5)).with_maps(Some(maps));
    let unavailable = Unavailable::NotRead { position: 9 };
    TargetExplanation::new(TargetParts {
        foils: asked.then(|| {
            let foils = Foils::weighted([(3, 3.0), (5, 1.0)]).unwrap();
            vec![foils; positions.len()]
        }),
        text: "Ödem".to_owned(),
        occurrence: Some(1),
        rule: SpanRule::Reliance,
        scores: positions.clone().map(score).collect(),
        relevancy: Explanation::new(targets.collect(), row(seed), layout).unwrap(),
        raw_attention: row(seed + 1),
        rollout: row(seed + 2),
        layers: Some(table(3, TOKENS, seed)),
        methods: vec![Ok(row(seed + 3) - 0.5), Err(unavailable)],
        heads: asked.then_some(heads),
        finer: vec![
            PatchMap::new(
                if asked { table(4, 4, 6) } else { Array2::zeros((0, 0)) },
                table(4, 4, 7),
            )
            .with_pixels(asked.then(|| table(8, 8, 8) - 0.4)),
        ],
        weights: (1 < positions.len()).then(|| vec![0.25, 0.75]),
        token_ids,
        positions,
    })
}

fn target(positions: std::ops::Range<usize>, asked: bool) -> ExplainedTarget<'static> {
    let gain = Gain { log_probabilities: vec![-0.5], token_pmi: vec![-0.4] };
    let trace = Some(ThroughTrace::new([1.0, 0.5, -0.25, 2.0]).with_relevancy([0.5, 0.25]));
    let reliance = TargetReliance { blanks: vec![gain], map_entropy: Some(0.5), trace };
    let control = TargetControl { relevancy: row(9), image_sum: 2.0, image_sum_blank: 0.5 };
    let counterpart = Counterpart {
        relevancy: row(11),
        is_empty: false,
        image_share: Some(0.25),
        token_log_probabilities: vec![-0.75],
    };
    ExplainedTarget {
        reliance: Some(reliance),
        certificate: Some(Cow::Owned(certificate())),
        control: asked.then_some(Cow::Owned(control)),
        counterpart: asked.then_some(Cow::Owned(counterpart)),
        ..ExplainedTarget::new(Cow::Owned(explanation(positions, asked)))
    }
}

/// Ahead by knock-out, and not defined by ROAD.
fn certificate() -> TargetCertificate {
    let mut found = OperatorCertificate::new(-0.5, -3.5);
    (found.srg, found.z, found.p) = (Some(0.5), Some(2.5), Some(0.05));
    found.controls = vec![ControlGain { kind: ControlKind::Uniform, srg: 0.25 }];
    found.fractions = vec![0.0, 0.5, 1.0];
    found.most_first = vec![1.0, 0.25, 0.0];
    found.least_first = vec![1.0, 1.125, 0.0];
    found.uniform = vec![1.0, 0.5, 0.0];
    found.band = vec![[1.0, 1.0], [0.25, 0.75], [0.0, 0.0]];
    found.other_words = vec![WordGain { text: "<Erguss>".to_owned(), srg: 0.125 }];
    let method = |name: &str, srg| MethodGain {
        id: Some(MethodId::InputGradient),
        name: name.to_owned(),
        srg,
        z: srg,
        p: srg,
    };
    found.methods = vec![method("<gradient>", Some(0.75)), method("tam", None)];
    let mut undefined = OperatorCertificate::new(-0.5, -0.5);
    undefined.undefined = Some("the picture adds <nothing>".to_owned());
    let mut certificate = TargetCertificate::of(vec![3, 1, 2, 4]);
    certificate.set(Operator::KnockOut, found);
    certificate.set(Operator::Road, undefined);
    let change = MapChange { what: "picture <b>darker</b>".to_owned(), rank_correlation: 0.875 };
    certificate.stability = vec![change];
    certificate.randomisation = vec![MapChange {
        what: "all layers <i>randomised</i>".to_owned(),
        rank_correlation: -0.25,
    }];
    certificate
}

fn certificate_settings() -> CertificateSettings {
    CertificateSettings {
        operators: vec![Operator::KnockOut, Operator::Road],
        fractions: vec![0.5],
        controls: 19,
        block: 2,
        seed: 3,
        least_worth: 0.1,
        runs: 40,
        seconds: 0.25,
    }
}

fn tokens() -> Vec<Token> {
    let spans = [0..3, 3..9, 9..ANSWER.len()]; // "Ein", " Ödem", the rest
    let token = |position: usize| Token {
        position,
        id: position as u32,
        text: format!("t{position}"),
        kind: match position {
            1..5 => TokenKind::Image,
            7.. => TokenKind::Answer,
            _ => TokenKind::Prompt,
        },
        span: position.checked_sub(7).map(|index| spans[index].clone()),
    };
    (0..TOKENS).map(token).collect()
}

fn phrase(text: &str, seed: usize) -> Phrase {
    let relevancy = Array1::from_shape_fn(TOKENS, |at| if at < 7 { row(seed)[at] } else { 0.0 });
    Phrase {
        text: text.to_owned(),
        token_ids: vec![7],
        token_log_probabilities: vec![-0.25],
        relevancy,
        is_empty: false,
        image_share: Some(0.5),
    }
}

fn settings() -> Settings {
    Settings {
        reproduce: None,
        engine: "streaming".to_owned(),
        update: "additive".to_owned(),
        backward: "gradient".to_owned(),
        path_points: 1,
        objective: "logit".to_owned(),
        heads: "mean".to_owned(),
        folded_layers: "all".to_owned(),
        methods: vec!["gradient × input".to_owned(), "token attention (heads max)".to_owned()],
        method_ids: vec![MethodId::InputGradient, MethodId::TokenAttention],
        dtype: "float32".to_owned(),
        device: "cpu".to_owned(),
        threads: 1,
        resize: "torchvision".to_owned(),
        pan_and_scan: false,
        pad_to_square: false,
        orientation: relevancy_visualization::Orientation::Pa,
        resolution: Resolution::Pixels,
        layers: true,
        colormap: relevancy_visualization::Colormap::Viridis,
        contours: vec![0.9],
        template_tokens: TemplateTokens::Show,
    }
}

fn sinks() -> SinksRecord {
    let mut finder = SinkFinder::new(1.5);
    let hidden = ndarray::array![[0.0, 7.0, 0.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]];
    finder.see(1, 3, |at| hidden.slice(ndarray::s![at, ..]).to_owned());
    SinksRecord::new(SinkRule::Drop, &finder.finish(), &tokens())
}

fn source() -> Provenance {
    let mut source = Provenance::new(Format::Dicom, [8, 8], Recipe::Cxr, "Modality is <CR>");
    source.photometric = Some("MONOCHROME1".to_owned());
    source.notes = vec!["a <note>".to_owned()];
    source
}

fn picture() -> ExplainedPicture<'static> {
    let rgb = RgbImage::from_fn(8, 8, |x, y| [(20 * x) as u8, (30 * y) as u8, 7].into());
    ExplainedPicture {
        name: "a.png".to_owned(),
        pixels_sha256: sha256(rgb.as_raw()),
        rgb: Cow::Owned(rgb),
        exif_orientation: 1,
        window: Some([3, 400]),
        warnings: vec!["a warning".to_owned()],
        source: Some(source()),
        orientation: Orientation::Sides(Sides { left: 'R', right: 'L', top: 'H', bottom: 'F' }),
    }
}

fn explained(presentation: &Presentation) -> Explained<'static> {
    let picture = picture();
    let image = ExplainedImage {
        picture: 0,
        positions: 1..5,
        grid: [2, 2],
        region: [0.0, 0.0, 8.0, 8.0],
        outlines: Vec::new(),
        region_weights: Vec::new(),
    };
    let blank = BlankRecord { name: BlankKind::MeanEmbedding, picture: None, pixels_sha256: None };
    let versus = Versus {
        positions: 8..9,
        phrase: phrase("Ödem", 1),
        against: phrase("Erguss", 2),
        contrast: phrase("", 3).relevancy,
        image_share: Some(0.25),
    };
    let (one, none) = ("?".to_owned(), String::new());
    let sampling = SamplingRecord { temperature: 0.7, top_k: 3, top_p: 0.5, seed: 1 };
    let explained = Explained {
        prompt: one.clone(),
        system: Some(one.clone()),
        rendered_prompt: one.clone(),
        answer: ANSWER.to_owned(),
        trace: none,
        stop: "stop token 1".to_owned(),
        tokens: tokens(),
        pictures: vec![picture],
        images: vec![image],
        foil_texts: BTreeMap::from([(3, " <clear>".to_owned()), (5, "none".to_owned())]),
        targets: vec![target(8..10, true), target(9..10, true)],
        words: vec![target(7..8, false)],
        versus: vec![versus],
        missing: vec![MissingRecord { asked: one.clone(), reason: one.clone() }],
        regions: None,
        boxes: Vec::new(),
        sinks: Some(sinks()),
        other_model: Some(OtherModel {
            model: ModelRecord {
                source: "base".to_owned(),
                revision: None,
                architecture: "Gemma3ForConditionalGeneration".to_owned(),
                config_sha256: "2".repeat(64),
                storage: BTreeMap::new(),
                files: Vec::new(),
                adapters: Vec::new(),
            },
            dtype: "float32".to_owned(),
            seconds: 1.5,
        }),
        certificate: Some(certificate_settings()),
        reliance: Some(RelianceSettings {
            blanks: vec![blank],
            independent_nats: NATS_OF_A_CHANGE,
            seconds: 0.5,
        }),
        generation: Some(GenerationRecord {
            max_new_tokens: 3,
            stop: true,
            sampling: Some(sampling),
        }),
        settings: settings(),
        model: ModelRecord {
            source: one.clone(),
            revision: Some(one.clone()),
            architecture: one.clone(),
            config_sha256: one.clone(),
            storage: BTreeMap::from([("BF16".to_owned(), 7)]),
            adapters: vec![crate::record::AdapterRecord {
                source: "chest-lora".to_owned(),
                revision: None,
                weight: 0.5,
                kind: "LoRA".to_owned(),
                base: Some("google/medgemma-1.5-4b-it".to_owned()),
                files: vec![WeightFile { name: one.clone(), bytes: 7, sha256: None }],
            }],
            files: vec![WeightFile { name: one.clone(), bytes: 7, sha256: Some(one.clone()) }],
        },
        timings: Timings {
            load: 0.1,
            preprocess: 0.2,
            vision: 0.3,
            prefill: 0.4,
            decode: 0.5,
            explain: 0.6,
        },
        peak_rss_bytes: Some(1),
        notes: vec![one.clone()],
        program: one.clone(),
        date: Some(one),
    };
    explained.with_findings(presentation).unwrap()
}

fn presentation() -> Presentation {
    Presentation::default()
        .with_overlay(
            OverlayOptions::default().with_orientation(relevancy_visualization::Orientation::Pa),
        )
        .with_regions(Some(RegionSpec::Cxr))
        .with_figures(
            FigureKind::ALL.into_iter().filter(|kind| *kind != FigureKind::Difference).collect(),
        )
        .with_report(true)
}

fn written(explained: &Explained<'_>, folder: &Path) -> Exported {
    let folder = OutputFolder::create(folder, &[]).unwrap();
    folder.write(explained, &presentation(), &|| false).unwrap()
}

#[test]
fn a_folder_gives_the_document_back() {
    let [first, second] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let explained = explained(&presentation());
    assert_eq!(explained.boxes.len(), 1, "{:?}", explained.notes);
    let exported = written(&explained, first.path());
    let stored = Stored::open(first.path()).unwrap();
    let again = Explained { peak_rss_bytes: Some(1), ..stored.explained().clone() };
    let record = |explained: &Explained<'_>| Record::new(explained, &[]).to_json();
    assert_eq!(record(&again), record(&explained));
    let page = explained.report().unwrap();
    assert_eq!(again.report().unwrap(), page);
    // What the tokens are set against is on the page, as text and not as markup.
    assert!(page.contains("Set against") && !page.contains("<clear>"));
    let told = page.split("Set against").nth(1).unwrap();
    assert!(told[..400].contains("75 %") && told[..400].contains("none"), "{}", &told[..400]);

    // The certificate: its badge, the curves, the method that is ahead, all as text and not as markup.
    assert!(page.contains("ahead of its controls by 1 of 1"));
    assert!(page.contains("The most faithful map here: by knock-out \\u003cgradient"), "escaped");
    for markup in ["<gradient>", "<nothing>", "<b>darker"] {
        assert!(!page.contains(markup), "{markup}");
    }

    // Every file but the record, which states memory in use, is the same when it is written again.
    let all = written(&again, second.path());
    assert_eq!(all.overlays.len(), 2);
    assert_eq!(all.finer.len(), 4);
    let files = |exported: &Exported| {
        let Exported { arrays, overlays, finer, figures, pictures, report, .. } = exported.clone();
        [vec![arrays], overlays, finer, figures, pictures, report.into_iter().collect()].concat()
    };
    for (one, other) in files(&exported).iter().zip(files(&all)) {
        assert_eq!(one.file_name(), other.file_name());
        assert!(std::fs::read(one).unwrap() == std::fs::read(&other).unwrap(), "{one:?}");
    }
}

#[test]
fn every_drawing_is_listed_with_what_it_is_of() {
    let folder = tempfile::tempdir().unwrap();
    written(&explained(&presentation()), folder.path());
    let record = Stored::open(folder.path()).unwrap().record().clone();
    assert_eq!(record.targets[1].overlays, ["overlay-1-0.png"]);
    assert_eq!(record.targets[1].finer, ["patches-1-0.png", "pixels-1-0.png"]);
    assert_eq!(record.targets[1].control.as_ref().unwrap().overlays, ["control-1-0.png"]);
    assert_eq!(record.targets[1].certificate_figure.as_deref(), Some("certificate-1.png"));
    assert_eq!(record.versus[0].figures, ["versus-0-0.png"]);
    let ours = std::fs::read_dir(folder.path()).unwrap();
    for name in ours.map(|entry| entry.unwrap().file_name().into_string().unwrap()) {
        assert!(FileName::could_be(&name), "{name}");
        assert!(name == "explanation.json" || record.file_names().any(|file| file == name));
    }
}

#[test]
fn a_cancelled_run_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let folder = OutputFolder::create(&root.path().join("out"), &[]).unwrap();
    let error = folder.write(&explained(&presentation()), &presentation(), &|| true).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
}

const SCHEMA_FILE: &str = "../../docs/schema/explanation-1.json";

#[test]
fn the_schema_in_the_repository_is_that_of_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(SCHEMA_FILE);
    let kept = std::fs::read_to_string(path).unwrap();
    let made = format!("{:#}\n", Record::json_schema());
    assert!(
        kept == made,
        "cargo run -p explanation-record --features schema --example schema > docs/schema/explanation-1.json"
    );
}

#[test]
fn a_record_keeps_the_schema_and_a_spoilt_one_does_not() {
    let validator = jsonschema::validator_for(&Record::json_schema()).unwrap();
    let record = Record::new(&explained(&presentation()), &[FileName::Arrays, FileName::Report]);
    let mut record = serde_json::to_value(record).unwrap();
    let errors: Vec<_> = validator.iter_errors(&record).map(|error| error.to_string()).collect();
    assert_eq!(errors, [""; 0]);
    record["tokens"][0]["kind"] = "word".into();
    assert!(!validator.is_valid(&record));
}
