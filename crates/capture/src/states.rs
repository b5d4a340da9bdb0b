//! What is kept of a run of the language model, so that a reverse sweep can start from it.

use crate::gemma::Joined;
use crate::goal::logit_rows;
use crate::model::TraceOf;
use crate::seam::{
    Attend, AttentionLayer, Cached, Fast, Layer, MaskRule, ModelError, Qkv, Sequence,
    SequenceLayout, Site, Tower, Trace, Watch, guard,
};
use crate::{Error, LanguageModel};
use attention_relevancy::Target;
use std::ops::Range;
use tch::Tensor;

/// How much of every layer is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Keep {
    /// The layer's input `[S, D]`: the layer is rebuilt when the sweep comes to it.
    #[default]
    Inputs,
    /// All that the pull-back needs ([`Trace`]): nothing is rebuilt.
    Everything,
}

/// Records a run of a model: it goes along with its forward passes, those that generate an answer among them.
#[derive(Debug)]
pub struct Recorder<'m, A, M: LanguageModel = Joined> {
    model: &'m M,
    inner: A,
    keep: Keep,
    layers: Vec<Vec<Piece<TraceOf<M>>>>,
    /// Outputs of the last layer.
    outputs: Vec<Tensor>,
}

/// What a model made of the first tokens of a prompt, with keys, values and what a [`Recorder`] keeps: any number of recorded runs go on
/// from it ([`Recorder::continuing`]), and none changes it. What was recorded is shared with them, keys and values are copied by each.
///
/// It says nothing of which tokens, pictures and model it is of.
#[derive(Debug)]
pub struct Prefix<M: LanguageModel = Joined> {
    kept: Cached,
    keep: Keep,
    layers: Vec<Vec<Piece<TraceOf<M>>>>,
    outputs: Vec<Tensor>,
}

/// What is known of a layer for the tokens of one call.
#[derive(Debug)]
enum Piece<T> {
    Input(Tensor),
    Trace(T),
}

impl<T: Trace> Piece<T> {
    fn shared(&self) -> Self {
        match self {
            Self::Input(x) => Self::Input(x.shallow_clone()),
            Self::Trace(trace) => {
                let tensors = trace.tensors().into_iter().map(Tensor::shallow_clone);
                Self::Trace(T::from_tensors(tensors.collect()))
            }
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Input(x) => bytes_of(x),
            Self::Trace(trace) => trace.tensors().into_iter().map(bytes_of).sum(),
        }
    }
}

impl<'m, M: LanguageModel> Recorder<'m, Cached, M> {
    /// Records while `model` generates an answer.
    pub fn generating(model: &'m M, keep: Keep) -> Self {
        Self::around(Cached::default(), model, keep)
    }

    /// Records a run that goes on behind a prefix, as the run that the prefix was taken of would have.
    ///
    /// # Errors
    /// Where there is no memory for it.
    pub fn continuing(model: &'m M, prefix: &Prefix<M>) -> Result<Self, Error> {
        let Prefix { kept, keep, layers, outputs } = prefix;
        let (layers, outputs) = (shared(layers), shared_tensors(outputs));
        Ok(Self { model, inner: kept.branch()?, keep: *keep, layers, outputs })
    }

    /// What was recorded so far, for other runs that begin alike.
    ///
    /// # Errors
    /// Where there is no memory for the copy of keys and values.
    pub fn prefix(&self) -> Result<Prefix<M>, Error> {
        let (layers, outputs) = (shared(&self.layers), shared_tensors(&self.outputs));
        Ok(Prefix { kept: self.inner.branch()?, keep: self.keep, layers, outputs })
    }
}

impl<M: LanguageModel> Prefix<M> {
    /// Tokens of it.
    pub fn tokens(&self) -> usize {
        self.kept.seen()
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> u64 {
        let recorded = self.layers.iter().flatten().map(Piece::bytes).sum::<u64>();
        self.kept.bytes() + recorded + self.outputs.iter().map(bytes_of).sum::<u64>()
    }
}

/// The same tensors.
fn shared<T: Trace>(layers: &[Vec<Piece<T>>]) -> Vec<Vec<Piece<T>>> {
    layers.iter().map(|pieces| pieces.iter().map(Piece::shared).collect()).collect()
}

fn shared_tensors(tensors: &[Tensor]) -> Vec<Tensor> {
    tensors.iter().map(Tensor::shallow_clone).collect()
}

fn bytes_of(tensor: &Tensor) -> u64 {
    (tensor.numel() * tensor.kind().elt_size_in_bytes()) as u64
}

impl<'m, A: Attend, M: LanguageModel> Recorder<'m, A, M> {
    /// Records a run of `model` whose attention `inner` computes.
    fn around(inner: A, model: &'m M, keep: Keep) -> Self {
        Self { model, inner, keep, layers: Vec::new(), outputs: Vec::new() }
    }
}

impl<A: Attend, M: LanguageModel> Attend for Recorder<'_, A, M> {
    fn check(&self, tower: Tower) -> Result<(), ModelError> {
        match tower {
            Tower::Text => self.inner.check(tower),
            Tower::Vision => Err(ModelError::Tower { attention: "Recorder" }),
        }
    }

    fn attend(&mut self, site: Site, qkv: &Qkv, mask: &MaskRule) -> Tensor {
        self.inner.attend(site, qkv, mask)
    }

    fn seen(&self) -> usize {
        self.inner.seen()
    }
}

impl<A: Attend, M: LanguageModel> Watch<TraceOf<M>> for Recorder<'_, A, M> {
    fn layer_done(&mut self, site: Site, trace: TraceOf<M>) {
        debug_assert!(site.tower == Tower::Text);
        if self.layers.len() <= site.layer {
            self.layers.resize_with(site.layer + 1, Vec::new);
        }
        let layers = self.model.layers();
        if site.layer + 1 == layers.len() {
            self.outputs.push(layers[site.layer].output(&trace));
        }
        self.layers[site.layer].push(match self.keep {
            Keep::Inputs => Piece::Input(trace.input().shallow_clone()),
            Keep::Everything => Piece::Trace(trace),
        });
    }
}

/// A recorded run of the language model over the first tokens of a sequence.
#[derive(Debug)]
pub struct States<M: LanguageModel = Joined> {
    layers: Vec<Kept<TraceOf<M>>>,
    /// Output of the last layer `[S, D]`.
    output: Tensor,
    layout: SequenceLayout,
    tokens: usize,
}

/// How large recorded states are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatesSize {
    /// Tokens that the model saw.
    pub tokens: usize,
    /// Bytes that the states take.
    pub bytes: u64,
}

#[derive(Debug)]
enum Kept<T> {
    Input(Tensor),
    /// In the pieces that they were computed in, prompt and single tokens, never empty: concatenating them would briefly double
    /// the memory and fragment the heap.
    Trace(Vec<T>),
}

impl<M: LanguageModel> States<M> {
    /// One forward pass without a graph over a given sequence.
    pub fn of(model: &M, sequence: &Sequence, keep: Keep) -> Result<Self, Error> {
        let _no_grad = tch::no_grad_guard();
        let mut recorder = Recorder::around(Fast, model, keep);
        guard("running the language model", || {
            drop(model.run(&model.embed(sequence), sequence.layout(), &mut recorder));
        })?;
        Self::recorded(recorder, sequence)
    }

    /// What a recorder saw of `sequence`. The last token of a generated answer was never fed to the model, and need not be: what
    /// explains it stands one row before.
    pub fn recorded<A>(recorder: Recorder<'_, A, M>, sequence: &Sequence) -> Result<Self, Error> {
        let (expected, found) = (recorder.model.layers().len(), recorder.layers.len());
        if expected != found {
            return Err(Error::Layers { expected, found });
        }
        let (layers, output) = guard("joining what was recorded", || {
            let layers: Vec<Kept<TraceOf<M>>> =
                recorder.layers.into_iter().map(Kept::join).collect();
            (layers, Tensor::cat(&recorder.outputs, 0))
        })?;
        let tokens = output.size()[0] as usize;
        if sequence.ids().len() < tokens || layers.iter().any(|kept| kept.tokens() != tokens) {
            return Err(Error::States { tokens, sequence: sequence.ids().len() });
        }
        Ok(Self { layers, output, layout: sequence.layout().clone(), tokens })
    }

    /// Layers of the model.
    pub(crate) fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Tokens that the model saw.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> u64 {
        let layer = |kept: &Kept<TraceOf<M>>| match kept {
            Kept::Input(x) => bytes_of(x),
            Kept::Trace(pieces) => pieces.iter().flat_map(Trace::tensors).map(bytes_of).sum(),
        };
        bytes_of(&self.output) + self.layers.iter().map(layer).sum::<u64>()
    }

    /// What the ledger counts of them.
    pub fn size(&self) -> StatesSize {
        StatesSize { tokens: self.tokens, bytes: self.bytes() }
    }

    /// Where the images of the sequence stand and where it forks.
    pub(crate) fn layout(&self) -> &SequenceLayout {
        &self.layout
    }

    /// Which keys a query of `layer` may see.
    pub(crate) fn mask(&self, layer: &M::Layer) -> MaskRule {
        layer.mask(&self.layout)
    }

    /// The last layer's output at the rows that predict the targets, `[targets, D]`.
    pub(crate) fn hidden(&self, targets: &[Target]) -> Tensor {
        self.output.index_select(0, &logit_rows(targets, self.output.device()))
    }

    /// The last layer's output `[S, D]`.
    pub(crate) fn output(&self) -> &Tensor {
        &self.output
    }

    /// The input of the layer with that index at some positions, `[n, D]`.
    pub(crate) fn input(&self, layer: usize, at: &Range<usize>) -> Tensor {
        let rows = |x: &Tensor| x.narrow(0, at.start as i64, at.len() as i64);
        match &self.layers[layer] {
            Kept::Trace(pieces) if pieces.len() == 1 => rows(pieces[0].input()),
            Kept::Trace(pieces) => {
                rows(&Tensor::cat(&pieces.iter().map(Trace::input).collect::<Vec<_>>(), 0))
            }
            Kept::Input(x) => rows(x),
        }
    }

    /// Queries, keys and values of `layer` for the tokens at some positions, from memory or made again.
    pub(crate) fn qkv(&self, layer: &M::Layer, at: &Range<usize>) -> Qkv {
        let place = self.layout.place(at.start);
        match &self.layers[layer.site().layer] {
            Kept::Trace(pieces) if pieces.len() == 1 => layer.qkv(&pieces[0].rows(at), place),
            Kept::Trace(pieces) => layer.qkv(&TraceOf::<M>::concatenated(pieces).rows(at), place),
            Kept::Input(_) => layer.project(&self.input(layer.site().layer, at), place),
        }
    }

    /// What `layer` computed for tokens `0..end`, from memory or made again.
    pub(crate) fn trace(&self, layer: &M::Layer, end: usize) -> TraceOf<M> {
        let all = 0..end;
        match &self.layers[layer.site().layer] {
            Kept::Trace(pieces) if pieces.len() == 1 => pieces[0].rows(&all),
            Kept::Trace(pieces) => TraceOf::<M>::concatenated(pieces).rows(&all),
            Kept::Input(x) => {
                let x = x.narrow(0, 0, end as i64);
                layer.trace(&x, 0, &self.mask(layer), &mut Fast)
            }
        }
    }
}

impl<T: Trace> Kept<T> {
    fn join(pieces: Vec<Piece<T>>) -> Self {
        let mut inputs = Vec::new();
        let mut traces = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Input(x) => inputs.push(x),
                Piece::Trace(trace) => traces.push(trace),
            }
        }
        match inputs.len() {
            0 => Self::Trace(traces),
            1 => Self::Input(inputs.remove(0)), // one forward pass: there is nothing to copy
            _ => Self::Input(Tensor::cat(&inputs, 0)),
        }
    }

    fn tokens(&self) -> usize {
        let tokens = |x: &Tensor| x.size()[0] as usize;
        match self {
            Self::Input(x) => tokens(x),
            Self::Trace(pieces) => pieces.iter().map(|piece| tokens(piece.input())).sum(),
        }
    }
}
