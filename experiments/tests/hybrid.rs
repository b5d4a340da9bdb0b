//! A small hybrid from beginning to end, around the language model of a fixture.
#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

use std::path::{Path, PathBuf};

use experiments::hybrid::cases;
use experiments::hybrid::evaluate::{Plan, evaluate};
use experiments::hybrid::export::TOWER;
use experiments::hybrid::language::{About, Query};
use experiments::hybrid::merged::{self, Files};
use experiments::hybrid::run::{Recipe, Run, Sources};
use experiments::localize::case::{Case, Language, Usual};
use experiments::localize::methods::Maps;
use experiments::localize::settings::Setting;
use experiments::progress::Stepwise;
use experiments::reader::Reader;
use experiments::recipe::Variant;
use experiments::scenes::Purpose;
use medgemma_explainer::{
    AdapterSource, Ask, DtypeSpec, ExplainOptions, Explainer, LoadOptions, ModelSource, Picture,
    Question,
};
use safetensors::Dtype;

fn sources() -> Sources {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    Sources {
        decoder: root.join("tests/fixtures/gguf/model.gguf"),
        tower: root.join("crates/explainer/models/phantom"),
        learnt: None,
        new_tower: false,
    }
}

fn recipe() -> Recipe {
    let mut recipe = Recipe::full(Variant::Sound).with_steps(3);
    (recipe.rank, recipe.spelled, recipe.stage.pictures) = (2, 3, 2);
    recipe
}

fn files(folder: &Path) -> Vec<Vec<u8>> {
    let names = [TOWER, "adapter_model.safetensors", "adapter_config.json", "chat_template.jinja"];
    names.map(|name| std::fs::read(folder.join(name)).unwrap()).to_vec()
}

#[test]
fn a_hybrid_is_trained_resumed_and_read_as_users_files_are() {
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [whole, parts] = [0, 1].map(|at| folders[at].path());
    let open = |folder: &Path, resume| Run::open(&recipe(), &sources(), folder, resume).unwrap();
    open(whole, false).finish(&mut Vec::new()).unwrap();
    // Each time one step further, as if the machine had gone off after it.
    for _ in 0..2 {
        let mut run = open(parts, true);
        let before = run.state.parameters["adapter.language_model.layers.0.mlp.up_proj.up"].copy();
        run.step().unwrap();
        assert_ne!(run.state.parameters["adapter.language_model.layers.0.mlp.up_proj.up"], before);
        run.save().unwrap();
    }
    open(parts, true).finish(&mut Vec::new()).unwrap();
    assert!(files(whole) == files(parts), "another model came out");

    // What was learnt goes on from where it ended, but for the adapter's rounding to float16, with the optimizer begun anew.
    let further = tempfile::tempdir().unwrap();
    let learnt = Sources { learnt: Some(whole.to_owned()), ..sources() };
    let run = Run::open(&recipe(), &learnt, further.path(), false).unwrap();
    let before = open(whole, true).state;
    assert_eq!((before.step, run.state.step), (3, 0));
    assert!(before.parameters.keys().eq(run.state.parameters.keys()));
    for (name, tensor) in &before.parameters {
        let off = (tensor - &run.state.parameters[name]).abs().max().double_value(&[]);
        assert!(off <= tensor.abs().max().double_value(&[]) / 1024.0, "{name}: {off}");
    }

    // Behind another tower the adapter stays, and the projector is fitted.
    let other = tempfile::tempdir().unwrap();
    let retold = Sources { new_tower: true, ..learnt };
    let recipe = Recipe { spelled: 8, ..recipe() };
    let retold = Run::open(&recipe, &retold, other.path(), false).unwrap().state.parameters;
    for (name, tensor) in &run.state.parameters {
        let off = (tensor - &retold[name]).abs().max().double_value(&[]);
        if name.starts_with("adapter.") {
            assert!(off == 0.0, "{name}: {off}");
        } else if name.contains("mm_input_projection") {
            assert!(0.0 < off, "{name}");
        }
    }

    let plan = Plan { pictures: 2, seed: 1, variant: Variant::Sound, purpose: Purpose::Dialogue };
    let tokenizer =
        sources().decoder.parent().unwrap().join("../short-window/model/tokenizer.json");
    let files =
        Files { decoder: &sources().decoder, tokenizer: &tokenizer, trained: whole, tower: None };
    let evaluation = evaluate(files, &plan).unwrap();
    // The first has two pictures and two questions; reports of the other have five clauses in three wordings.
    assert_eq!((evaluation.clauses["change"].all, evaluation.clauses["report"].all), (2, 15));
    assert!(evaluation.total().right < evaluation.total().all);

    let adapters = vec![AdapterSource::parse(whole.to_str().unwrap(), true)];
    let options = LoadOptions::default().with_dtype(DtypeSpec::Float32);
    let options = options.with_mmproj(Some(whole.join(TOWER))).with_adapters(adapters);
    let source = ModelSource::Directory(PathBuf::from(&sources().decoder));
    let explainer = Explainer::load(&source, &options).unwrap();
    assert_eq!(explainer.inspection().adapters()[0].kind, "LoRA");
    let picture = Picture::from_rgb(gemma3_processor::image::RgbImage::new(224, 224)).unwrap();
    let answer =
        explainer.given(Question::new(vec![picture], "Is there a nodule?"), "No.").unwrap();
    let found = explainer.explain(&answer, &[Ask::Answer], &ExplainOptions::default()).unwrap();
    assert_eq!(found.targets[0].relevancy().image_grid(0).unwrap().dim(), (16, 16));

    // As one checkpoint it is the same model, and every map of the benchmark can be made of it.
    let merged = merged::write(files, Dtype::F32).unwrap();
    let reader = Reader::open_as(merged.path(), DtypeSpec::Float32).unwrap();
    let natural = Language::Natural(Usual::new(1));
    let case = Case::unseen(&natural, 1, 1);
    // The answer is the same tokens as a whole and piece by piece with this tokenizer, which is none of words.
    let query = Query { about: About::Count, wording: 1 };
    let asked = cases::Case::of((1, Variant::Sound), Purpose::Evaluation, 1, 224);
    let exchange = query.exchange(&asked).unwrap();
    let reading = reader.read(&case.pictures().unwrap(), &[exchange]).unwrap().remove(0);
    assert_eq!(reading.words.len(), 1);
    let answer = explainer.given(reading.question.clone(), &reading.text).unwrap();
    let ids = answer.tokens().iter().map(|token| token.id);
    assert!(ids.eq(reading.sequence.ids().iter().copied()), "another tokenizer");
    let own = explainer.explain(&answer, &[Ask::Answer], &ExplainOptions::default()).unwrap();
    let other = reader.explainer().given(reading.question.clone(), &reading.text).unwrap();
    let other =
        reader.explainer().explain(&other, &[Ask::Answer], &ExplainOptions::default()).unwrap();
    let [own, other] =
        [own, other].map(|found| found.targets[0].relevancy().image_grid(0).unwrap().to_owned());
    let largest = own.iter().fold(0.0, |most: f32, x| most.max(*x));
    let off = (&own - &other).iter().fold(0.0, |most: f32, x| most.max(x.abs()));
    assert!(off < 1e-4 * largest, "{off} of {largest}");
    let settings = Setting::of_a_deep_model();
    let maps = Maps::new(&reader, &case, &reading).unwrap();
    let together = maps.all(&settings, 1).unwrap();
    for (at, (setting, found)) in settings.iter().zip(together).enumerate() {
        if at.is_multiple_of(8) {
            assert_eq!(found, maps.of(*setting, 1).unwrap(), "{setting}");
        }
        assert!(!found.is_empty() && found.iter().all(|map| map.len() == 256), "{setting}");
    }
}
