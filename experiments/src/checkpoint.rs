//! Two kinds of file: the state of a run, to go on from, and the checkpoint that comes out of it.

use std::collections::HashMap;
use std::fmt::Debug;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use gemma3_tch::Config;
use half::{bf16, f16};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use tch::Tensor;
use tempfile::TempDir;

use crate::lanes::Task;
use crate::optimizer::AdamW;
use crate::parameters::Parameters;

/// Where a run stands.
#[derive(Debug)]
pub struct State {
    /// The stage that is under way.
    pub task: Task,
    /// Steps of it that are done.
    pub step: usize,
    /// All parameters, those of the head included.
    pub parameters: Parameters,
    /// For those that the stage learns, in the order of their names.
    pub optimizer: AdamW,
}

impl State {
    /// The beginning of a stage.
    pub fn begin(task: Task, parameters: Parameters) -> Self {
        let optimizer = AdamW::new(&learning(task, &parameters));
        Self { task, step: 0, parameters, optimizer }
    }

    /// The tensors that learn, in the order of their names. They share what they hold with the state.
    pub fn learning(&self) -> Vec<Tensor> {
        learning(self.task, &self.parameters)
    }

    /// Writes the state; the file is there as a whole or not at all.
    pub fn save(&self, path: &Path, recipe: &impl Debug) -> Result<()> {
        let names: Vec<&String> =
            self.parameters.keys().filter(|name| self.task.learns(name)).collect();
        let of = |kind: &'static str, tensors: &[Tensor]| {
            let named = names.iter().zip(tensors);
            named
                .map(|(name, tensor)| (format!("{kind}.{name}"), tensor.shallow_clone()))
                .collect::<Vec<_>>()
        };
        let mut tensors = of("mean", &self.optimizer.means);
        tensors.extend(of("square", &self.optimizer.squares));
        let parameters = self.parameters.iter();
        tensors
            .extend(parameters.map(|(name, p)| (format!("parameter.{name}"), p.shallow_clone())));
        let metadata = HashMap::from([
            ("task".to_owned(), self.task.name().to_owned()),
            ("step".to_owned(), self.step.to_string()),
            ("recipe".to_owned(), fingerprint(recipe)),
        ]);
        write(path, &tensors, Dtype::F32, Some(metadata))
    }

    /// Reads the state of a run of the same recipe.
    pub fn load(path: &Path, recipe: &impl Debug) -> Result<Self> {
        let bytes =
            std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
        let (_, header) = SafeTensors::read_metadata(&bytes)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let field = |name: &str| {
            metadata.get(name).with_context(|| format!("{} has no {name}", path.display()))
        };
        ensure!(
            *field("recipe")? == fingerprint(recipe),
            "{} is of another recipe; name another folder with --out, or train without --resume",
            path.display()
        );
        let task = Task::parse(field("task")?).context("a task of another name")?;
        let step: usize = field("step")?.parse()?;
        let file = SafeTensors::deserialize(&bytes)?;
        let mut kinds: HashMap<&str, Parameters> = HashMap::new();
        for (name, view) in file.iter() {
            let (kind, name) = name.split_once('.').context("a tensor of no kind")?;
            let found = kinds.entry(kind).or_default();
            found.insert(name.to_owned(), read(&view)?);
        }
        let mut take = |kind| kinds.remove(kind).unwrap_or_default();
        let [means, squares] =
            ["mean", "square"].map(|kind| take(kind).into_values().collect::<Vec<_>>());
        let optimizer = AdamW { means, squares, steps: step };
        Ok(Self { task, step, parameters: take("parameter"), optimizer })
    }
}

fn learning(task: Task, parameters: &Parameters) -> Vec<Tensor> {
    let learns = parameters.iter().filter(|(name, _)| task.learns(name));
    learns.map(|(_, tensor)| tensor.shallow_clone()).collect()
}

fn fingerprint(recipe: &impl Debug) -> String {
    format!("{recipe:?}")
}

/// Writes `model.safetensors` in bfloat16, with the names that published checkpoints have.
pub fn export(folder: &Path, parameters: &Parameters) -> Result<()> {
    export_as(folder, parameters, Dtype::BF16)
}

/// A folder with the checkpoint in `folder`, but these parameters in `dtype`.
pub fn with_parameters(folder: &Path, parameters: &Parameters, dtype: Dtype) -> Result<TempDir> {
    let copy = tempfile::tempdir()?;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name() != "model.safetensors" {
            std::fs::copy(entry.path(), copy.path().join(entry.file_name()))?;
        }
    }
    export_as(copy.path(), parameters, dtype)?;
    Ok(copy)
}

pub(crate) fn export_as(folder: &Path, parameters: &Parameters, dtype: Dtype) -> Result<()> {
    let model = parameters.iter().filter(|(name, _)| Task::Answers.learns(name));
    let tensors: Vec<_> =
        model.map(|(name, tensor)| (published(name), tensor.shallow_clone())).collect();
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    write(&folder.join("model.safetensors"), &tensors, dtype, Some(metadata))
}

/// The configuration of the checkpoint in `folder`.
pub fn config(folder: &Path) -> Result<Config> {
    let path = folder.join("config.json");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("could not read {}", path.display()))?;
    Ok(Config::from_json(&text)?)
}

/// The parameters of the checkpoint that [`export`] wrote into `folder`, float32.
pub fn parameters(folder: &Path) -> Result<Parameters> {
    let tensors = tensors(&folder.join("model.safetensors"))?;
    Ok(tensors.into_iter().map(|(name, tensor)| (short(&name), tensor)).collect())
}

/// The tensors of a file of this program, float32.
pub(crate) fn tensors(path: &Path) -> Result<Parameters> {
    let bytes =
        std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    let file = SafeTensors::deserialize(&bytes)?;
    file.iter().map(|(name, view)| Ok((name.to_owned(), read(&view)?))).collect()
}

/// The names that files of the family before transformers 5 have, beside the canonical ones.
const SPELLINGS: [(&str, &str); 2] =
    [("language_model.", "language_model.model."), ("vision_tower.", "vision_tower.vision_model.")];

/// The canonical name.
fn short(name: &str) -> String {
    let spelled = SPELLINGS
        .iter()
        .find_map(|(short, long)| name.strip_prefix(long).map(|rest| format!("{short}{rest}")));
    spelled.unwrap_or_else(|| name.to_owned())
}

/// The name in files of the family before transformers 5.
fn published(name: &str) -> String {
    for (short, long) in SPELLINGS {
        if let Some(rest) = name.strip_prefix(short) {
            return format!("{long}{rest}");
        }
    }
    name.to_owned()
}

/// Writes tensors in that type; the file is there as a whole or not at all.
pub(crate) fn write(
    path: &Path,
    tensors: &[(String, Tensor)],
    dtype: Dtype,
    metadata: Option<HashMap<String, String>>,
) -> Result<()> {
    let encoded = tensors
        .iter()
        .map(|(name, tensor)| Ok((name, shape(tensor), encode(tensor, dtype)?)))
        .collect::<Result<Vec<_>>>()?;
    let views = encoded
        .iter()
        .map(|(name, shape, bytes)| {
            Ok((name.as_str(), TensorView::new(dtype, shape.clone(), bytes)?))
        })
        .collect::<Result<Vec<_>>>()?;
    let bytes = serialize(views, metadata)?;
    let partial = path.with_extension("partial");
    std::fs::write(&partial, bytes)
        .and_then(|()| std::fs::rename(&partial, path))
        .with_context(|| format!("could not write {}", path.display()))
}

fn shape(tensor: &Tensor) -> Vec<usize> {
    tensor.size().iter().map(|&side| side as usize).collect()
}

fn encode(tensor: &Tensor, dtype: Dtype) -> Result<Vec<u8>> {
    let values = Vec::<f32>::try_from(tensor.detach().flatten(0, -1))?;
    Ok(match dtype {
        Dtype::BF16 => values.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect(),
        Dtype::F16 => values.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect(),
        _ => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
    })
}

fn read(view: &TensorView<'_>) -> Result<Tensor> {
    let values: Vec<f32> = match view.dtype() {
        Dtype::F32 => view.data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
        Dtype::BF16 => {
            view.data().as_chunks().0.iter().map(|&b| bf16::from_le_bytes(b).to_f32()).collect()
        }
        Dtype::F16 => {
            view.data().as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect()
        }
        other => bail!("a tensor is {other:?}; this program writes float32, bfloat16 and float16"),
    };
    let shape: Vec<i64> = view.shape().iter().map(|&side| side as i64).collect();
    Ok(Tensor::from_slice(&values).f_view(shape.as_slice())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{Recipe, Variant};

    fn state() -> State {
        let parameters = [("head.weight", 1.5), ("vision_tower.a", 2.5), ("lm", -3.0)];
        let parameters =
            parameters.map(|(name, x)| (name.to_owned(), Tensor::from_slice(&[x as f32])));
        let mut state = State::begin(Task::Sight, Parameters::from(parameters));
        let gradients = [Tensor::from_slice(&[0.5f32]), Tensor::from_slice(&[-0.5f32])];
        state.optimizer.step(&mut state.learning(), &gradients, 0.1);
        state.step = 1;
        state
    }

    /// States that were written before are still of the same recipe.
    #[test]
    fn the_fingerprint_of_a_recipe_keeps_its_text() {
        let text = fingerprint(&Recipe::tiny(Variant::Sound));
        let start = "Recipe { seed: 1, variant: Sound, sizes: Sizes { vision: \
            Vision { image: 64, patch: 16, hidden: 16, layers: 2, heads: 2, inner: 32 }, text: \
            Text { hidden: 32, layers: 6, heads: 2, key_heads: 1, head: 16, inner: 64, window: 64 }, \
            grid: 4 }, sight: Stage {";
        assert!(text.starts_with(start), "{text}");
    }

    #[test]
    fn a_state_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.safetensors");
        let (state, recipe) = (state(), Recipe::tiny(Variant::Sound));
        state.save(&path, &recipe).unwrap();
        let found = State::load(&path, &recipe).unwrap();
        assert_eq!((found.task, found.step, found.optimizer.steps), (state.task, 1, 1));
        assert_eq!(found.parameters, state.parameters);
        assert_eq!(found.optimizer.means, state.optimizer.means);
        assert_eq!(found.optimizer.squares, state.optimizer.squares);
        let other = State::load(&path, &Recipe::tiny(Variant::Shortcut)).unwrap_err();
        assert!(other.to_string().contains("another recipe"), "{other}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
