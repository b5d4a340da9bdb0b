//! The whole model: vision tower, projector, language model, and the sequence that joins their tokens.

use crate::adapter::AdaptedWeights;
use crate::weights::InMemory;
use crate::{
    AppliedAdapter, Checkpoint, Config, DecoderTrace, Error, Fast, Fork, LowRankPair, Placement,
    Projector, SequenceLayout, TextModel, VisionConfig, VisionModel, Watch, WeightPath, Weights,
    guard,
};
use gemma3_processor::{Pixels, Prepared};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// A Gemma3 model, with a vision tower or alone. Immutable: it holds weights, no cache and no mode.
///
/// Weights that stay in the dtype of the file are views of it: they cost no memory of their own and are never written to.
#[derive(Debug)]
pub struct Gemma3 {
    config: Config,
    text: TextModel,
    vision: Option<Vision>,
    placement: Placement,
}

/// What lets a model see pictures.
#[derive(Debug)]
pub struct Vision {
    /// Its sizes.
    pub config: VisionConfig,
    /// From a picture to patches.
    pub tower: VisionModel,
    /// From patches to image tokens.
    pub projector: Projector,
}

impl Vision {
    fn load(root: &WeightPath<'_>, config: &Config) -> Result<Option<Self>, Error> {
        let Some(vision) = &config.vision else { return Ok(None) };
        Ok(Some(Self {
            config: vision.clone(),
            tower: VisionModel::load(root, vision)?,
            projector: Projector::load(root, vision, config)?,
        }))
    }
}

/// Token ids with the features that stand at their image tokens.
#[derive(Debug)]
pub struct Sequence {
    ids: Vec<u32>,
    layout: SequenceLayout,
    features: Vec<Tensor>,
}

impl Gemma3 {
    /// Loads a checkpoint directory as a hub snapshot has it.
    pub fn load(dir: &Path, placement: Placement) -> Result<Self, Error> {
        Checkpoint::open(dir)?.load(placement)
    }

    pub(crate) fn of_weights(
        mut config: Config,
        weights: &Weights,
        adapters: &[AppliedAdapter],
        placement: Placement,
    ) -> Result<Self, Error> {
        let _no_grad = tch::no_grad_guard();
        let weights = AdaptedWeights::new(weights, adapters, config.text.tie_word_embeddings);
        config.text.tie_word_embeddings &= !weights.parts_head();
        guard("loading the weights", || {
            Self::build(config, &WeightPath::new(&weights, placement), placement.device)
        })?
    }

    /// A model on tensors that are there already, by canonical name ([`Config::tensors`] lists them), all of one dtype and on one
    /// device. They are shared, not copied, and the model is part of their graph: gradients of what it computes reach them.
    /// Building a model this way is cheap; training rebuilds it after every update.
    pub fn from_tensors(config: Config, tensors: &BTreeMap<String, Tensor>) -> Result<Self, Error> {
        Self::from_adapted_tensors(config, tensors, &BTreeMap::new())
    }

    /// The same with low-rank parts beside matrices, by the canonical name of the module
    /// (`language_model.layers.0.self_attn.q_proj`): an adapter while it is trained. Parts are computed in the dtype of their matrix and
    /// may be stored in another; the vision tower may have another dtype than the language model. Names of modules that the model does not
    /// have are not looked at.
    pub fn from_adapted_tensors(
        config: Config,
        tensors: &BTreeMap<String, Tensor>,
        pairs: &BTreeMap<String, LowRankPair>,
    ) -> Result<Self, Error> {
        let source = InMemory { tensors, pairs };
        guard("taking the weights", || {
            let device = tensors.values().next().map_or(Device::Cpu, Tensor::device);
            let root = WeightPath::new(&source, Placement { device, kind: None });
            Self::build(config, &root, device)
        })?
    }

    fn build(config: Config, root: &WeightPath<'_>, device: Device) -> Result<Self, Error> {
        let text = TextModel::load(root, &config.text)?;
        Ok(Self {
            vision: Vision::load(root, &config)?,
            placement: Placement { kind: Some(text.kind()), device },
            text,
            config,
        })
    }

    /// This model's language model, its layers from number `first` on without what they learnt: the rows of their matrices stand in a random
    /// order with random signs, by `seed`; embeddings, norms and head stay. Weights are shared, so it takes next to no memory.
    ///
    /// It has no vision tower: give it the features of a picture ([`Sequence::features`]). Maps that stay as they are do not show what
    /// the model learnt (Adebayo et al., Sanity Checks for Saliency Maps, 2018: cascading randomisation, from the last layer down).
    pub fn with_shuffled_layers(&self, first: usize, seed: u64) -> Result<Self, Error> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let text = || self.text.with_shuffled_layers(first, &mut random);
        Ok(Self {
            config: self.config.clone(),
            text: guard("shuffling layers", text)?,
            vision: None,
            placement: self.placement,
        })
    }

    /// What the checkpoint says of itself.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The language model.
    pub fn text(&self) -> &TextModel {
        &self.text
    }

    /// What lets it see pictures.
    ///
    /// # Errors
    /// [`Error::NoVision`] for a language model alone.
    pub fn vision(&self) -> Result<&Vision, Error> {
        self.vision.as_ref().ok_or(Error::NoVision)
    }

    /// Where the weights are, and the dtype that the language model computes in.
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// The dtype that the language model computes in.
    pub fn kind(&self) -> Kind {
        self.text.kind()
    }

    /// One picture as the vision tower takes it, `[3, s, s]` float32 on the device of the model.
    pub fn picture(&self, pixels: &Pixels) -> Result<Tensor, Error> {
        let config = &self.vision()?.config;
        let (side, channels) = (config.image_size, config.num_channels);
        let found = [pixels.channels, pixels.height, pixels.width];
        if found != [channels, side, side] {
            return Err(Error::Pixels { expected: [channels, side, side], found });
        }
        guard("moving a picture to the device", || {
            Tensor::from_slice(&pixels.values)
                .view(found.map(|n| n as i64))
                .to_device(self.placement.device)
        })
    }

    /// The image tokens `[t, D]` of one picture, without a graph.
    pub fn encode_image(&self, pixels: &Pixels) -> Result<Tensor, Error> {
        let picture = self.picture(pixels)?;
        let _no_grad = tch::no_grad_guard();
        guard("running the vision tower", || {
            let vision = self.vision()?;
            let features = vision.tower.forward(&picture, &mut Fast)?;
            Ok(vision.projector.forward(&features).to_kind(self.kind()))
        })?
    }

    /// Runs the vision tower on every picture of a prepared prompt.
    pub fn encode(&self, prepared: &Prepared) -> Result<Sequence, Error> {
        let features = prepared.pixels.iter().map(|pixels| self.encode_image(pixels));
        let features = features.collect::<Result<_, _>>()?;
        let images = prepared.images.iter().map(|image| image.span.clone()).collect();
        self.sequence(prepared.ids.clone(), images, features)
    }

    /// Joins token ids and image features; `images` are the positions that the features (`[t, D]` each) fill, in order.
    pub fn sequence(
        &self,
        ids: Vec<u32>,
        images: Vec<Range<usize>>,
        features: Vec<Tensor>,
    ) -> Result<Sequence, Error> {
        let text = &self.config.text;
        Sequence::new(ids, images, features, [text.vocab_size, text.hidden_size])
    }

    /// Input embeddings `[S, D]`: token embeddings, with the features in place of the image tokens.
    pub fn embed(&self, sequence: &Sequence) -> Tensor {
        self.embed_part(sequence, 0..sequence.ids.len())
    }

    /// The same for some of its tokens, at least one, which begin and end outside of images.
    pub(crate) fn embed_part(&self, sequence: &Sequence, part: Range<usize>) -> Tensor {
        let (mut pieces, mut done) = (Vec::new(), part.start);
        let add_words = |pieces: &mut Vec<Tensor>, range: Range<usize>| {
            if !range.is_empty() {
                pieces.push(self.text.embed(&sequence.ids[range]));
            }
        };
        let images = sequence.images().iter().zip(&sequence.features);
        for (span, features) in
            images.filter(|(span, _)| part.start <= span.start && span.end <= part.end)
        {
            add_words(&mut pieces, done..span.start);
            pieces.push(features.to_kind(self.kind()));
            done = span.end;
        }
        add_words(&mut pieces, done..part.end);
        Tensor::cat(&pieces, 0)
    }

    /// The last layer's output `[S, D]` for a whole sequence, before the final norm.
    pub fn forward(&self, sequence: &Sequence, watch: &mut dyn Watch<DecoderTrace>) -> Tensor {
        self.text.forward(&self.embed(sequence), 0, &sequence.layout, watch)
    }
}

impl Sequence {
    /// Joins token ids and image features for a model with `vocabulary` tokens and the hidden width D; `images` are the positions that the
    /// features (`[t, D]` each) fill, in order.
    ///
    /// # Errors
    /// [`Error::TokenId`] for an id outside of images that the model does not have, [`Error::ImageSpans`] for spans that are not in order, not in the
    /// sequence, or not filled by features of their length.
    pub fn new(
        ids: Vec<u32>,
        images: Vec<Range<usize>>,
        features: Vec<Tensor>,
        [vocabulary, width]: [usize; 2],
    ) -> Result<Self, Error> {
        // What fills the place of a picture need not be a word: files of llama.cpp have no row for it.
        let is_word = |at: usize| !images.iter().any(|span| span.contains(&at));
        let mut unknown = ids.iter().enumerate().filter(|&(_, &id)| vocabulary <= id as usize);
        if let Some((_, &id)) = unknown.find(|&(at, _)| is_word(at)) {
            return Err(Error::TokenId { id, vocab_size: vocabulary });
        }
        let fits = |(span, features): (&Range<usize>, &Tensor)| {
            features.size() == [span.len() as i64, width as i64]
        };
        let ordered = images.windows(2).all(|pair| pair[0].end <= pair[1].start);
        let inside = images.iter().all(|span| span.start < span.end && span.end <= ids.len());
        if images.len() != features.len()
            || !ordered
            || !inside
            || !images.iter().zip(&features).all(fits)
        {
            return Err(Error::ImageSpans {
                spans: images,
                tokens: ids.len(),
                features: features.len(),
            });
        }
        Ok(Self { ids, layout: SequenceLayout::unforked(images), features })
    }

    /// The token ids `[S]`.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The spans of image tokens, in order.
    pub fn images(&self) -> &[Range<usize>] {
        self.layout.images()
    }

    /// One behind the last image token; 0 where there is none. What stands before does not see what stands behind.
    pub fn images_end(&self) -> usize {
        self.images().last().map_or(0, |span| span.end)
    }

    /// The features that fill the spans, `[t, D]` each.
    pub fn features(&self) -> &[Tensor] {
        &self.features
    }

    /// Where it goes on in two ways; `None`: nowhere.
    pub fn fork(&self) -> Option<Fork> {
        self.layout.fork()
    }

    /// Where its images stand and where it forks.
    pub fn layout(&self) -> &SequenceLayout {
        &self.layout
    }

    /// The same tokens with every image token an image of its own: it sees what stands before it and nothing behind. So images are
    /// seen by programs that give the model no token types; the model was not trained like that.
    #[must_use]
    pub fn with_causal_images(&self) -> Self {
        let features = self.features.iter().flat_map(|features| features.split(1, 0));
        Self {
            ids: self.ids.clone(),
            layout: self.layout.with_split_images(),
            features: features.collect(),
        }
    }

    /// The same tokens with the mean of each picture's features in the place of every one of them: as many image tokens, all alike.
    #[must_use]
    pub fn with_mean_features(&self) -> Self {
        self.faded(0.0)
    }

    /// The same tokens with every picture's features a part of the way from their mean: ē + `share`·(e − ē), in float32. 1 is the
    /// picture, 0 its mean in every place.
    #[must_use]
    pub fn faded(&self, share: f64) -> Self {
        let faded = |features: &Tensor| {
            let mean = features.mean_dim([0_i64].as_slice(), true, Kind::Float);
            let beside = features.to_kind(Kind::Float) - &mean;
            (mean + beside * share).to_kind(features.kind())
        };
        Self { features: self.features.iter().map(faded).collect(), ..self.followed_by(&[]) }
    }

    /// The same tokens with other features in the place of every picture's, `[t, D]` each.
    ///
    /// # Errors
    /// [`Error::ImageSpans`] where they are not as many and as large as those of the sequence.
    pub fn with_features(&self, features: Vec<Tensor>) -> Result<Self, Error> {
        let sizes = |all: &[Tensor]| all.iter().map(Tensor::size).collect::<Vec<_>>();
        if sizes(&features) != sizes(&self.features) {
            return Err(Error::ImageSpans {
                spans: self.images().to_vec(),
                tokens: self.ids.len(),
                features: features.len(),
            });
        }
        Ok(Self { features, ..self.followed_by(&[]) })
    }

    /// The same sequence with `ids` behind it: a prompt and its answer.
    #[must_use]
    pub fn followed_by(&self, ids: &[u32]) -> Self {
        Self {
            ids: [self.ids.as_slice(), ids].concat(),
            layout: self.layout.clone(),
            features: self.features.iter().map(Tensor::shallow_clone).collect(),
        }
    }

    /// That part, where it can be run for itself.
    pub(crate) fn part(&self, part: Range<usize>) -> Result<Range<usize>, Error> {
        let cuts = |at: usize| self.images().iter().any(|span| span.start < at && at < span.end);
        let is_whole = part.start < part.end && part.end <= self.ids.len();
        if !is_whole || cuts(part.start) || cuts(part.end) {
            return Err(Error::Part { part, tokens: self.ids.len() });
        }
        Ok(part)
    }

    /// Two continuations of the first `prefix` tokens, packed into one sequence: neither branch knows of the other, and each is what
    /// it would be alone behind the prefix.
    ///
    /// # Errors
    /// [`Error::Prefix`] where the sequence is shorter, forks already, or has a picture behind the prefix or across its end.
    pub fn forked(&self, prefix: usize, [first, second]: [&[u32]; 2]) -> Result<Self, Error> {
        let images_end = self.images_end();
        if self.ids.len() < prefix || prefix < images_end || self.fork().is_some() {
            return Err(Error::Prefix { prefix, tokens: self.ids.len(), images_end });
        }
        let fork = Fork { at: prefix, second: prefix + first.len() };
        let ids = [&self.ids[..prefix], first, second].concat();
        Ok(Self { ids, layout: self.layout.clone().forked(fork), ..self.followed_by(&[]) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Placement;
    use std::path::Path;
    use tch::Device;

    /// GGUF files of Gemma 3 have 262 144 rows of the embedding, and the place of a picture is token 262 144.
    #[test]
    fn what_fills_the_place_of_a_picture_needs_no_row_of_the_embedding() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/layout/model");
        let model = Gemma3::load(&dir, Placement::AS_STORED).unwrap();
        let (tokens, width) = (model.config().mm_tokens_per_image, model.config().text.hidden_size);
        let features = || Tensor::ones([tokens as i64, width as i64], (Kind::Float, Device::Cpu));
        let sequence = |filler: u32, first: u32| {
            let ids = [vec![first], vec![filler; tokens], vec![5, 6]].concat();
            model.sequence(ids, vec![1..1 + tokens], vec![features()])
        };
        let beyond = model.config().text.vocab_size as u32;
        let [known, unknown] = [3, beyond].map(|id| model.embed(&sequence(id, 2).unwrap()));
        assert_eq!(known.size(), [tokens as i64 + 3, width as i64]);
        assert_eq!(known, unknown);
        let error = sequence(3, beyond).err().unwrap();
        assert!(matches!(error, Error::TokenId { id, .. } if id == beyond), "{error}");
        // A picture may come first and last.
        let alone = model.sequence(vec![beyond; tokens], vec![0..tokens], vec![features()]);
        assert_eq!(model.embed(&alone.unwrap()), features());
    }
}
