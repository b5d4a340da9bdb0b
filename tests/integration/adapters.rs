//! Adapters against PEFT's merged models (`tests/fixtures/adapters/generate.py`), in every spelling of names.

mod faults;
mod quantised;

use crate::support::{answered, matrix, processor_options};
use attention_capture::{
    Engine, Goal, Keep, Objective, Retained, Rules, States, Streaming, SweepOptions,
};
use attention_relevancy::{Target, Update};
use gemma3_tch::{
    Adapter, AppliedAdapter, Checkpoint, CheckpointPlace, Fast, Gemma3, Placement, Sequence,
};
use integration_tests::{Fixture, Tolerance, assert_close, assert_row_close};
use medgemma_explainer::{
    AdapterSource, Ask, ExplainOptions, Explainer, LoadOptions, ModelSource, Picture,
    PictureOptions, Question,
};
use ndarray::{Array1, Array2, ArrayView1, Axis};
use ndarray_npy::NpzReader;
use safetensors::tensor::TensorView;
use safetensors::{SafeTensors, serialize_to_file};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use tch::Kind;

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

fn folder(kind: &str) -> PathBuf {
    Fixture::folder().join("adapters").join(kind)
}

fn base() -> Fixture {
    Fixture::open("short-window")
}

fn expected(name: &str) -> Option<Array2<f64>> {
    let file = File::open(folder("peft.npz")).unwrap();
    let found: Array2<f32> = NpzReader::new(file).unwrap().by_name(&format!("{name}.npy")).ok()?;
    Some(found.mapv(f64::from))
}

fn checkpoint(base: &Path, adapters: &[(&Path, f64)]) -> Result<Checkpoint, gemma3_tch::Error> {
    let open = |&(folder, weight): &(&Path, f64)| {
        Ok(AppliedAdapter { adapter: Adapter::open(folder)?, weight })
    };
    let adapters = adapters.iter().map(open).collect::<Result<_, gemma3_tch::Error>>()?;
    Checkpoint::at(&CheckpointPlace::find(base, None, &[])?)?.adapted(adapters)
}

fn load(base: &Path, adapters: &[(&Path, f64)]) -> Result<Gemma3, gemma3_tch::Error> {
    let placement = Placement { kind: Some(Kind::Float), ..Placement::AS_STORED };
    checkpoint(base, adapters)?.load(placement)
}

/// The logits of the rows that chose the answer.
fn logits(model: &Gemma3, sequence: &Sequence, answer: usize) -> Array2<f32> {
    let last = tch::no_grad(|| model.forward(sequence, &mut Fast));
    let rows = sequence.ids().len() - answer;
    matrix(&model.text().logits(&last.narrow(0, answer as i64 - 1, rows as i64)))
}

fn assert_is(kind: &str, model: &Gemma3) {
    let fixture = base();
    let sequence = answered(&fixture, model);
    let found = logits(model, &sequence, fixture.number("input_len"));
    let wanted = expected(&format!("{kind}/logits")).unwrap();
    assert_close(&format!("{kind}: logits"), &found, &wanted, Tolerance::Rounding);
    let Some(wanted) = expected(&format!("{kind}/relevancy")) else { return };
    let rules = Rules::new(Objective::Logit, Update::Additive);
    let states = States::of(model, &sequence, Keep::Everything).unwrap();
    let streaming = Streaming::new(model, sequence.ids(), &states, SweepOptions::default());
    let retained = Retained::run(model, &sequence).unwrap();
    let engines: [(&str, &dyn Engine); 2] = [("streaming", &streaming), ("retained", &retained)];
    for (engine_name, engine) in engines {
        for (position, wanted) in fixture.numbers("targets").into_iter().zip(wanted.outer_iter()) {
            let target = Target::new(position, sequence.ids()[position]).unwrap();
            let found = engine.explain_one(&Goal::token(target), &rules).unwrap().relevancy;
            let what = format!("{kind}, {engine_name}: relevancy of {position}");
            assert_row_close(&what, found.view(), wanted.view(), position - 1);
        }
    }
}

/// How the command computes where nothing else is asked for: in bfloat16, swept back from the last layer. What an adapter changes is then
/// what PEFT's merged model gives in float32 but for rounding (a sixth of the largest entry, at most, on these random weights), and far
/// from what the base alone gives.
#[test]
fn in_bfloat16_an_adapter_is_the_merged_model_but_for_rounding() {
    let fixture = base();
    let wide = |x: &f32| f64::from(*x);
    for kind in ["lists", "recipe", "dora"] {
        let wanted = expected(&format!("{kind}/relevancy")).unwrap();
        let (adapter, targets) = (folder(kind), fixture.numbers("targets"));
        let distance = |adapters: &[(&Path, f64)]| {
            let placement = Placement { kind: Some(Kind::BFloat16), ..Placement::AS_STORED };
            let model = checkpoint(&fixture.model(), adapters).unwrap().load(placement).unwrap();
            let sequence = answered(&fixture, &model);
            let states = States::of(&model, &sequence, Keep::Everything).unwrap();
            let engine = Streaming::new(&model, sequence.ids(), &states, SweepOptions::default());
            let rules = Rules::new(Objective::Logit, Update::Additive);
            let of_target = |(&position, wanted): (&usize, ArrayView1<'_, f64>)| {
                let target = Target::new(position, sequence.ids()[position]).unwrap();
                let found = engine.explain_one(&Goal::token(target), &rules).unwrap().relevancy;
                // A token's own entry is one and a little.
                let others = |index: &usize| *index != position - 1;
                let largest = wanted.iter().enumerate().filter(|(index, _)| others(index));
                let largest = largest.fold(0.0_f64, |most, (_, x)| most.max(x.abs()));
                let apart = found.iter().map(wide).zip(&wanted).map(|(a, b)| (a - b).abs());
                let apart = apart.enumerate().filter(|(index, _)| others(index));
                apart.fold(0.0_f64, |most, (_, x)| most.max(x)) / largest
            };
            targets.iter().zip(wanted.outer_iter()).map(of_target).fold(0.0, f64::max)
        };
        let (adapted, plain) = (distance(&[(&adapter, 1.0)]), distance(&[]));
        assert!(adapted < 0.25 && 4.0 * adapted < plain, "{kind}: {adapted}, without it {plain}");
    }
}

/// Another name of a tensor.
type Rename<'a> = &'a dyn Fn(&str) -> String;
/// Another configuration.
type Change = Box<dyn Fn(&mut Value)>;

const KINDS: [&str; 10] = [
    "lists",
    "recipe",
    "patterns",
    "dora",
    "expression",
    "embedding",
    "head",
    "saved",
    "tied",
    "layers",
];

#[test]
fn every_kind_of_adapter_is_the_merged_model_of_peft() {
    let base = base().model();
    for kind in KINDS {
        assert_is(kind, &load(&base, &[(&folder(kind), 1.0)]).unwrap());
    }
}

/// A copy of an adapter with other names and another configuration.
fn changed(
    kind: &str,
    name: impl Fn(&str) -> String,
    config: impl FnOnce(&mut Value),
) -> tempfile::TempDir {
    let (from, to) = (folder(kind), tempfile::tempdir().unwrap());
    let bytes = fs::read(from.join(WEIGHTS)).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let renamed: Vec<(String, TensorView<'_>)> =
        tensors.iter().map(|(old, tensor)| (name(old), tensor)).collect();
    serialize_to_file(renamed, None, &to.path().join(WEIGHTS)).unwrap();
    let text = fs::read_to_string(from.join(CONFIG)).unwrap();
    let mut value: Value = serde_json::from_str(&text).unwrap();
    config(&mut value);
    fs::write(to.path().join(CONFIG), value.to_string()).unwrap();
    to
}

#[test]
fn names_are_understood_in_every_spelling() {
    let old = |name: &str| {
        let name = name.replace("model.model.language_model.", "model.language_model.model.");
        let name = name.replace("model.model.vision_tower.", "model.vision_tower.vision_model.");
        let name = name.replace("model.model.multi_modal", "model.multi_modal");
        name.replace("base_model.model.lm_head", "base_model.model.language_model.lm_head")
    };
    let between = |name: &str| name.replace("vision_tower.", "vision_tower.vision_model.");
    let spelled = |name: &str| name.replace(".lora_A.weight", ".lora_A.default.weight");
    let saved = |name: &str| {
        let name = name.replace("lm_head.weight", "lm_head.modules_to_save.default.weight");
        name.replace("embed_tokens.weight", "embed_tokens.modules_to_save.weight")
    };
    let bare = |name: &str| name.replace("base_model.model.", "");
    let spellings: [(&str, Rename<'_>); 5] = [
        ("old", &old),
        ("between", &between),
        ("default", &spelled),
        ("saved", &saved),
        ("bare", &bare),
    ];
    for kind in ["recipe", "dora", "expression", "saved"] {
        for (spelling, name) in spellings {
            let folder = changed(kind, name, |_| {});
            let model = load(&base().model(), &[(folder.path(), 1.0)]);
            let model = model.unwrap_or_else(|error| panic!("{kind} {spelling}: {error}"));
            let sequence = answered(&base(), &model);
            let found = logits(&model, &sequence, base().number("input_len"));
            let wanted = expected(&format!("{kind}/logits")).unwrap();
            let what = format!("{kind}, {spelling}");
            assert_close(&what, &found, &wanted, Tolerance::Rounding);
        }
    }
}

/// A language model alone, whose layers are `model.layers`, and its adapter on the whole model, too.
#[test]
fn a_language_model_alone_has_adapters() {
    let (model, adapter) = (folder("text/model"), folder("text/adapter"));
    let ids: Vec<u32> = (300..340).collect();
    for (name, adapters) in [("text/base", &[][..]), ("text/logits", &[(&*adapter, 1.0)][..])] {
        let model = load(&model, adapters).unwrap();
        let sequence = model.sequence(ids.clone(), vec![], vec![]).unwrap();
        let found = logits(&model, &sequence, 1);
        let wanted = expected(name).unwrap();
        let wanted = wanted.slice_axis(Axis(0), (0..39).into());
        assert_close(name, &found, &wanted, Tolerance::Rounding);
    }
}

#[test]
fn a_weight_is_part_of_the_way_and_adapters_follow_each_other() {
    let base = base().model();
    let (lists, dora) = (folder("lists"), folder("dora"));
    let fixture = self::base();
    let of = |adapters: &[(&Path, f64)]| {
        let model = load(&base, adapters).unwrap();
        logits(&model, &answered(&fixture, &model), fixture.number("input_len"))
    };
    let wide = |array: &Array2<f32>| array.mapv(f64::from);
    let plain = of(&[]);
    assert_close("weight 0", &of(&[(&dora, 0.0)]), &wide(&plain), Tolerance::Rounding);
    let twice = of(&[(&lists, 0.5), (&lists, 0.5)]);
    assert_close("two halves", &twice, &wide(&of(&[(&lists, 1.0)])), Tolerance::Rounding);
    let far = |a: &Array2<f32>, b: &Array2<f32>| (a - b).iter().fold(0_f32, |m, x| m.max(x.abs()));
    // A magnitude is taken of what the adapter before has made: their order tells.
    let (first, second) = (of(&[(&lists, 1.0), (&dora, 1.0)]), of(&[(&dora, 1.0), (&lists, 1.0)]));
    assert!(0.1 < far(&first, &second) && 0.1 < far(&first, &plain));
}

/// The same through the facade, and from a folder that is itself an adapter.
#[test]
fn a_folder_with_an_adapter_is_its_base_with_the_adapter() {
    let base = base().model();
    let options = || LoadOptions::default().with_processor(processor_options(&self::base()));
    let named = changed("lists", str::to_owned, |config| {
        config["base_model_name_or_path"] = json!(base);
    });
    let alone =
        Explainer::load(&ModelSource::Directory(named.path().to_owned()), &options()).unwrap();
    let applied = &alone.inspection().adapters()[0];
    assert_eq!((applied.low_rank_parts, applied.kind, applied.weight), (16, "LoRA", 1.0));
    assert_eq!(applied.warning(), None);
    let adapters = vec![AdapterSource::parse(folder("lists").to_str().unwrap(), true)];
    let both =
        Explainer::load(&ModelSource::Directory(base), &options().with_adapters(adapters)).unwrap();
    let warning = both.inspection().adapters()[0].warning().unwrap();
    assert!(
        warning.contains("trained on tests/short-window")
            && warning.contains("model that was loaded"),
        "{warning}"
    );
    let given = |explainer: &Explainer| {
        let pictures = self::base()
            .pictures()
            .iter()
            .map(|path| Picture::open(path, &PictureOptions::default()).unwrap())
            .collect();
        let question = Question::new(pictures, "Describe.");
        let answer = explainer.given(question, "clear lungs").unwrap();
        let found = explainer.explain(&answer, &[Ask::Answer], &ExplainOptions::default()).unwrap();
        Array1::from(found.targets[0].relevancy().without_self().to_vec())
    };
    assert_eq!(given(&alone), given(&both));
    let nobody =
        changed("lists", str::to_owned, |config| config["base_model_name_or_path"] = json!(null));
    let error = Explainer::load(&ModelSource::Directory(nobody.path().to_owned()), &options());
    let message = error.unwrap_err().to_string();
    assert!(message.contains("is an adapter, not a model"), "{message}");
}

/// An adapter's prompts are those that it was trained with: a template beside it goes before the model's, and one that the user gives
/// before both.
#[test]
fn the_template_of_an_adapter_is_the_one_of_its_prompts() {
    let folder = changed("lists", str::to_owned, |_| {});
    let template = |name: &str, word: &str| {
        let path = folder.path().join(name);
        let turn = "{% for message in messages %}{{ message.content[0].text }}{% endfor %}";
        fs::write(&path, format!("{{{{ bos_token }}}}{word}: {turn}")).unwrap();
        path
    };
    template("chat_template.jinja", "adapter");
    let given = template("given.jinja", "given");
    let processor = processor_options(&base()).with_trust_template(true);
    let prompt = |processor, adapters: &[&Path]| {
        let adapters =
            adapters.iter().map(|path| AdapterSource::parse(path.to_str().unwrap(), true));
        let options = LoadOptions::default().with_processor(processor);
        let options = options.with_adapters(adapters.collect());
        let explainer = Explainer::load(&ModelSource::Directory(base().model()), &options).unwrap();
        let answer = explainer.given(Question::new(vec![], "Why?"), "clear").unwrap();
        answer.prepared().prompt.clone()
    };
    assert_eq!(prompt(processor.clone(), &[folder.path()]), "<bos>adapter: Why?");
    let both = processor.clone().with_chat_template(Some(given));
    assert_eq!(prompt(both, &[folder.path()]), "<bos>given: Why?");
    assert!(prompt(processor, &[]).contains("<start_of_turn>model"));
}

/// With and without the adapter: what stands beside the maps is what the other model alone would say.
#[test]
fn a_comparison_is_what_the_other_model_says_of_the_same_words() {
    let options = || LoadOptions::default().with_processor(processor_options(&self::base()));
    let base = ModelSource::Directory(self::base().model());
    let adapters = vec![AdapterSource::parse(folder("recipe").to_str().unwrap(), true)];
    let tuned = Explainer::load(&base, &options().with_adapters(adapters)).unwrap();
    assert_eq!(tuned.base(), &base);
    let plain = Explainer::load(&base, &options()).unwrap();
    let pictures = || {
        let open = |path: &PathBuf| Picture::open(path, &PictureOptions::default()).unwrap();
        self::base().pictures().iter().map(open).collect()
    };
    let answer = |explainer: &Explainer| {
        explainer.given(Question::new(pictures(), "Describe."), "clear lungs").unwrap()
    };
    let asks = [Ask::Answer, Ask::Last];
    for objective in [Objective::Logit, Objective::LogProbability] {
        let how = ExplainOptions::default().with_objective(objective);
        let own = tuned.explain(&answer(&tuned), &asks, &how).unwrap();
        let found = tuned.counterparts(&answer(&tuned), &own, &plain).unwrap();
        let expected = plain.explain(&answer(&plain), &asks, &how).unwrap();
        for ((found, expected), own) in
            found.targets.iter().zip(&expected.targets).zip(&own.targets)
        {
            assert_eq!(found.relevancy, expected.relevancy().relevancy());
            let distance = found.log_probability() - expected.log_probability();
            assert!(distance.abs() < 1e-6, "{distance}");
            let gain = own.log_probability() - expected.log_probability();
            assert!((found.gain(own) - gain).abs() < 1e-6 && 0.01 < gain.abs());
            let agreement = found.agreement(own, 0).unwrap();
            assert!(agreement.rank_correlation < 0.99 && found.agreement(own, 1).is_none());
        }
        // A model compared with itself.
        let same = tuned.counterparts(&answer(&tuned), &own, &tuned).unwrap();
        for (same, own) in same.targets.iter().zip(&own.targets) {
            assert_eq!((same.gain(own), same.difference(own).sum()), (0.0, 0.0));
            let agreement = same.agreement(own, 0).unwrap();
            assert!(
                (agreement.rank_correlation - 1.0).abs() < 1e-9
                    && (agreement.top_overlap - 1.0).abs() < 1e-9
            );
        }
    }
}

#[test]
fn models_that_cannot_be_compared_are_told() {
    let load = |fixture: &str| {
        let fixture = Fixture::open(fixture);
        let options = LoadOptions::default().with_processor(processor_options(&fixture));
        Explainer::load(&ModelSource::Directory(fixture.model()), &options).unwrap()
    };
    let explainer = load("short-window");
    let open = |path: &PathBuf| Picture::open(path, &PictureOptions::default()).unwrap();
    let pictures = base().pictures().iter().map(open).collect();
    let answer = explainer.given(Question::new(pictures, "Describe."), "clear").unwrap();
    let own = explainer.explain(&answer, &[Ask::Answer], &ExplainOptions::default()).unwrap();
    let message =
        |other: &Explainer| explainer.counterparts(&answer, &own, other).unwrap_err().to_string();
    let places = message(&load("two-images"));
    assert!(places.contains("[64] tokens") && places.contains("[36]"), "{places}");
    let text =
        Explainer::load(&ModelSource::Directory(folder("text/model")), &LoadOptions::default());
    let blind = message(&text.unwrap());
    assert!(blind.contains("sees no pictures"), "{blind}");
    let phantom =
        Explainer::load(&ModelSource::parse("phantom", None, true), &LoadOptions::default());
    let tokens = message(&phantom.unwrap());
    assert!(tokens.contains("only models of one tokenizer"), "{tokens}");
}
