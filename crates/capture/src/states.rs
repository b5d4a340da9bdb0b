//! What is kept of a run of the language model, so that a reverse sweep can start from it.

use crate::Error;
use crate::goal::logit_rows;
use attention_relevancy::Target;
use gemma3_tch::{
    Attend, AttentionLayer, Cached, DecoderLayer, Fast, Gemma3, MaskRule, Qkv, Sequence,
    SequenceLayout, Site, Tower, Trace, guard,
};
use std::ops::Range;
use tch::Tensor;

/// How much of every layer is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// The layer's input `[S, D]`: the layer is rebuilt when the sweep comes to it.
    #[default]
    Inputs,
    /// All that the pull-back needs, about `4D + 2F + (H + 2K)·d` numbers a token and layer: nothing is rebuilt.
    Everything,
}

/// Records a run: hand it to [`Gemma3::generate`] or to a forward pass.
#[derive(Debug)]
pub struct Recorder<'m, A> {
    model: &'m Gemma3,
    inner: A,
    keep: Keep,
    layers: Vec<Vec<Piece>>,
    /// Outputs of the last layer.
    outputs: Vec<Tensor>,
}

/// What is known of a layer for the tokens of one call.
#[derive(Debug)]
enum Piece {
    Input(Tensor),
    Trace(Trace),
}

impl<'m> Recorder<'m, Cached> {
    /// Records while `model` generates an answer.
    pub fn generating(model: &'m Gemma3, keep: Keep) -> Self {
        Self::around(Cached::default(), model, keep)
    }
}

impl<'m, A: Attend> Recorder<'m, A> {
    /// Records a run of `model` whose attention `inner` computes.
    fn around(inner: A, model: &'m Gemma3, keep: Keep) -> Self {
        Self { model, inner, keep, layers: Vec::new(), outputs: Vec::new() }
    }
}

impl<A: Attend> Attend for Recorder<'_, A> {
    fn check(&self, tower: Tower) -> Result<(), gemma3_tch::Error> {
        match tower {
            Tower::Text => self.inner.check(tower),
            Tower::Vision => Err(gemma3_tch::Error::Tower { attention: "Recorder" }),
        }
    }

    fn attend(&mut self, site: Site, qkv: &Qkv, mask: &MaskRule) -> Tensor {
        self.inner.attend(site, qkv, mask)
    }

    fn layer_done(&mut self, site: Site, trace: Trace) {
        debug_assert!(site.tower == Tower::Text);
        if self.layers.len() <= site.layer {
            self.layers.resize_with(site.layer + 1, Vec::new);
        }
        let layers = self.model.text().layers();
        if site.layer + 1 == layers.len() {
            self.outputs.push(layers[site.layer].output(&trace));
        }
        self.layers[site.layer].push(match self.keep {
            Keep::Inputs => Piece::Input(trace.x),
            Keep::Everything => Piece::Trace(trace),
        });
    }
}

/// A recorded run of the language model over the first tokens of a sequence.
#[derive(Debug)]
pub struct States {
    layers: Vec<Kept>,
    /// Output of the last layer `[S, D]`.
    output: Tensor,
    layout: SequenceLayout,
    tokens: usize,
}

#[derive(Debug)]
enum Kept {
    Input(Tensor),
    /// In the pieces that they were computed in, prompt and single tokens, never empty: concatenating them would briefly double
    /// the memory and fragment the heap.
    Trace(Vec<Trace>),
}

impl States {
    /// One forward pass without a graph over a given sequence.
    pub fn of(model: &Gemma3, sequence: &Sequence, keep: Keep) -> Result<Self, Error> {
        let _no_grad = tch::no_grad_guard();
        let mut recorder = Recorder::around(Fast, model, keep);
        guard("running the language model", || drop(model.forward(sequence, &mut recorder)))?;
        Self::recorded(recorder, sequence)
    }

    /// What a recorder saw of `sequence`. The last token of a generated answer was never fed to the model, and need not be: what
    /// explains it stands one row before.
    pub fn recorded<A>(recorder: Recorder<'_, A>, sequence: &Sequence) -> Result<Self, Error> {
        let (expected, found) = (recorder.model.text().layers().len(), recorder.layers.len());
        if expected != found {
            return Err(Error::Layers { expected, found });
        }
        let (layers, output) = guard("joining what was recorded", || {
            let layers: Vec<Kept> = recorder.layers.into_iter().map(Kept::join).collect();
            (layers, Tensor::cat(&recorder.outputs, 0))
        })?;
        let tokens = output.size()[0] as usize;
        if sequence.ids().len() < tokens || layers.iter().any(|kept| kept.tokens() != tokens) {
            return Err(Error::States { tokens, sequence: sequence.ids().len() });
        }
        Ok(Self { layers, output, layout: sequence.layout().clone(), tokens })
    }

    /// Tokens that the model saw.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> u64 {
        let of = |tensor: &Tensor| (tensor.numel() * tensor.kind().elt_size_in_bytes()) as u64;
        let layer = |kept: &Kept| match kept {
            Kept::Input(x) => of(x),
            Kept::Trace(pieces) => pieces.iter().flat_map(Trace::tensors).map(of).sum(),
        };
        of(&self.output) + self.layers.iter().map(layer).sum::<u64>()
    }

    /// Where the images of the sequence stand and where it forks.
    pub(crate) fn layout(&self) -> &SequenceLayout {
        &self.layout
    }

    /// Which keys a query of `layer` may see.
    pub(crate) fn mask(&self, layer: &DecoderLayer) -> MaskRule {
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
            Kept::Trace(pieces) if pieces.len() == 1 => rows(&pieces[0].x),
            Kept::Trace(pieces) => {
                rows(&Tensor::cat(&pieces.iter().map(|piece| &piece.x).collect::<Vec<_>>(), 0))
            }
            Kept::Input(x) => rows(x),
        }
    }

    /// Queries, keys and values of `layer` for the tokens at some positions, from memory or made again.
    pub(crate) fn qkv(&self, layer: &DecoderLayer, at: &Range<usize>) -> Qkv {
        let place = self.layout.place(at.start);
        match &self.layers[layer.site().layer] {
            Kept::Trace(pieces) if pieces.len() == 1 => layer.heads(&pieces[0].rows(at), place),
            Kept::Trace(pieces) => layer.heads(&Trace::concatenated(pieces).rows(at), place),
            Kept::Input(_) => layer.project(&self.input(layer.site().layer, at), place),
        }
    }

    /// What `layer` computed for tokens `0..end`, from memory or made again.
    pub(crate) fn trace(&self, layer: &DecoderLayer, end: usize) -> Trace {
        let all = 0..end;
        match &self.layers[layer.site().layer] {
            Kept::Trace(pieces) if pieces.len() == 1 => pieces[0].rows(&all),
            Kept::Trace(pieces) => Trace::concatenated(pieces).rows(&all),
            Kept::Input(x) => {
                let mut rebuilt = Rebuilt(None);
                let x = x.narrow(0, 0, end as i64);
                let _output = layer.forward(&x, 0, &self.mask(layer), &mut rebuilt);
                rebuilt.0.expect("a decoder layer shows its trace")
            }
        }
    }
}

impl Kept {
    fn join(pieces: Vec<Piece>) -> Self {
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
            Self::Trace(pieces) => pieces.iter().map(|piece| tokens(&piece.x)).sum(),
        }
    }
}

/// The fast attention, catching the trace of the one layer that is run with it.
struct Rebuilt(Option<Trace>);

impl Attend for Rebuilt {
    fn attend(&mut self, site: Site, qkv: &Qkv, mask: &MaskRule) -> Tensor {
        Fast.attend(site, qkv, mask)
    }

    fn layer_done(&mut self, _: Site, trace: Trace) {
        self.0 = Some(trace);
    }
}
