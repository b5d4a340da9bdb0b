//! Adapters on quantised weights.

use super::{base, checkpoint, folder, load, logits};
use crate::support::{answered, processor_options};
use attention_capture::{Engine, Goal, Keep, Objective, Rules, States, Streaming, SweepOptions};
use attention_relevancy::{Target, Update};
use integration_tests::{Fixture, Tolerance, assert_close, assert_row_close};
use medgemma_explainer::{
    Ask, ExplainOptions, Explainer, LoadOptions, ModelSource, Picture, PictureOptions, Question,
};
use ndarray::Array2;
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize_to_file};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// The sixteen values of NF4, to float32.
const NF4: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// A tensor of a file.
#[derive(Clone)]
struct Stored {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    data: Vec<u8>,
}

impl Stored {
    fn new(name: &str, dtype: Dtype, shape: &[usize], data: Vec<u8>) -> Self {
        Self { name: name.to_owned(), dtype, shape: shape.to_vec(), data }
    }

    /// Writes all of them into a copy of the folder `base`.
    fn write(all: &[Self], base: &Path, folder: &Path) {
        for name in fs::read_dir(base).unwrap().map(|entry| entry.unwrap().file_name()) {
            fs::copy(base.join(&name), folder.join(&name)).unwrap();
        }
        let views = all.iter().map(|tensor| {
            let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.data);
            (tensor.name.clone(), view.unwrap())
        });
        serialize_to_file(views, None, &folder.join("model.safetensors")).unwrap();
    }
}

fn floats(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// A matrix as bitsandbytes stores it, and the numbers that it stands for.
fn nf4(matrix: &Stored) -> (Vec<Stored>, Stored) {
    let number = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
    let values: Vec<f32> = matrix.data.chunks_exact(4).map(number).collect();
    let (mut codes, mut scales, mut expanded) = (Vec::new(), Vec::new(), Vec::new());
    for block in values.chunks(64) {
        let scale = block.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        scales.push(scale);
        for value in block {
            let far = |&code: &usize| (NF4[code] * scale - value).abs();
            let code = (0..16).min_by(|a, b| far(a).total_cmp(&far(b))).unwrap();
            codes.push(code as u8);
            expanded.push(NF4[code] * scale);
        }
    }
    let bytes: Vec<u8> = codes.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    let state =
        json!({ "quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": matrix.shape });
    let state = state.to_string().into_bytes();
    let name = |part: &str| format!("{}{part}", matrix.name);
    let stored = vec![
        Stored::new(&name(".absmax"), Dtype::F32, &[scales.len()], floats(&scales)),
        Stored::new(&name(".quant_map"), Dtype::F32, &[16], floats(&NF4)),
        Stored::new(&name(".quant_state.bitsandbytes__nf4"), Dtype::U8, &[state.len()], state),
        Stored::new(&name(""), Dtype::U8, &[bytes.len(), 1], bytes),
    ];
    (stored, Stored { data: floats(&expanded), ..matrix.clone() })
}

/// As QLoRA is used: the adapter on a base in NF4, a second product beside each quantised matrix, is the adapter merged into the numbers
/// that the base stands for.
#[test]
fn an_adapter_on_a_quantised_base_is_the_one_merged_into_its_numbers() {
    let base = base().model();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let file = fs::read(base.join("model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&file).unwrap();
    let (mut quantised, mut plain) = (Vec::new(), Vec::new());
    for (name, view) in tensors.iter() {
        let own = Stored::new(name, view.dtype(), view.shape(), view.data().to_vec());
        let is_linear = name.ends_with("_proj.weight") || name.contains(".mlp.fc");
        if is_linear && view.shape().len() == 2 {
            let (stored, expanded) = nf4(&own);
            quantised.extend(stored);
            plain.push(expanded);
        } else {
            quantised.push(own.clone());
            plain.push(own);
        }
    }
    for (folder, tensors) in folders.iter().zip([&quantised, &plain]) {
        Stored::write(tensors, &base, folder.path());
    }
    let fixture = self::base();
    for kind in ["recipe", "dora"] {
        let rows = folders.each_ref().map(|folder| {
            let model = load(folder.path(), &[(&self::folder(kind), 1.0)]).unwrap();
            let sequence = answered(&fixture, &model);
            let found = logits(&model, &sequence, fixture.number("input_len"));
            let states = States::of(&model, &sequence, Keep::Inputs).unwrap();
            let engine = Streaming::new(&model, sequence.ids(), &states, SweepOptions::default());
            let position = sequence.ids().len() - 1;
            let target = Target::new(position, sequence.ids()[position]).unwrap();
            let rules = Rules::new(Objective::Logit, Update::Additive);
            let row = engine.explain_one(&Goal::token(target), &rules).unwrap().relevancy;
            (found, row)
        });
        let [(beside, row), (merged, expected)] = &rows;
        let wide = |array: &Array2<f32>| array.mapv(f64::from);
        assert_close(&format!("{kind}: logits"), beside, &wide(merged), Tolerance::Rounding);
        let what = format!("{kind}: relevancy");
        assert_row_close(&what, row.view(), expected.mapv(f64::from).view(), row.len() - 2);
        // Not merged: what is quantised stays so.
        let inspection = checkpoint(folders[0].path(), &[(&self::folder(kind), 1.0)]).unwrap();
        assert!(inspection.inspection().stored.contains_key("NF4"));
    }
}

/// The same weights in another kind of file: nothing changes.
#[test]
fn a_comparison_with_the_same_weights_in_another_file_shows_no_difference() {
    let load = |path: PathBuf| {
        let options = LoadOptions::default().with_processor(processor_options(&base()));
        Explainer::load(&ModelSource::Directory(path), &options).unwrap()
    };
    let [own, other] = [base().model(), Fixture::folder().join("gguf")].map(load);
    let open = |path: &PathBuf| Picture::open(path, &PictureOptions::default()).unwrap();
    let pictures = base().pictures().iter().map(open).collect();
    let answer = own.given(Question::new(pictures, "Describe."), "clear lungs").unwrap();
    let found = own.explain(&answer, &[Ask::Answer], &ExplainOptions::default()).unwrap();
    let others = own.counterparts(&answer, &found, &other).unwrap();
    let difference = others.targets[0].difference(&found.targets[0]);
    assert!(difference.iter().all(|value| value.abs() < 1e-6), "{difference}");
    assert!(others.name().ends_with("gguf"));
}
