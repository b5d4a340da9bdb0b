//! What can go wrong between a checkpoint and a loaded model.

use std::path::PathBuf;

use tch::TchError;

use crate::shown::{line, quoted};

/// Why a checkpoint could not be used. Messages name the file or field and say what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A GGUF file that cannot be used.
    #[error(transparent)]
    Gguf(#[from] quantised_weights::Error),
    /// A weight that bitsandbytes quantised is not what it should be.
    #[error("tensor {} of a weight in NF4 {reason}", quoted(name))]
    Nf4 {
        /// The tensor.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An adapter cannot be used.
    #[error("{} {}", path.display(), line(reason))]
    Adapter {
        /// The file of it that is wrong.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A folder holds an adapter and the weights of a model.
    #[error("{} lies beside the weights of a model, and it is not clear whether they have the adapter in them: name its folder as an adapter as well to apply it, or move the file away to leave it out", path.display())]
    AdapterBeside {
        /// The configuration of the adapter.
        path: PathBuf,
    },
    /// A folder holds an adapter where a model was to be.
    #[error("{} is an adapter, not a model: name the model that it belongs to, and this folder as an adapter{}", path.display(), base.as_ref().map(|base| format!(" (it was trained on {})", quoted(base))).unwrap_or_default())]
    AdapterAlone {
        /// The folder.
        path: PathBuf,
        /// The model that it was trained on.
        base: Option<String>,
    },
    /// A folder has more GGUF files than one model.
    #[error("{} holds several {what} as GGUF files; name one of them{}", path.display(), listed(files))]
    SeveralGguf {
        /// The folder.
        path: PathBuf,
        /// Of what there are several.
        what: &'static str,
        /// Their names.
        files: Vec<String>,
    },
    /// A vision tower as GGUF file for a checkpoint that is none.
    #[error("a vision tower in a GGUF file goes with a language model in a GGUF file, and {} holds none", path.display())]
    MmprojWithoutGguf {
        /// The folder.
        path: PathBuf,
    },
    /// A picture was given to a language model alone.
    #[error("the model sees no pictures: it is a language model alone; ask it without one")]
    NoVision,

    // ---- the directory and its files ----
    /// The model directory does not exist.
    #[error("model directory {} does not exist", path.display())]
    MissingDirectory {
        /// As asked for.
        path: PathBuf,
    },
    /// The model path is something else than a directory.
    #[error("{} is not a directory; name the directory that holds config.json and the weights", path.display())]
    NotADirectory {
        /// As asked for.
        path: PathBuf,
    },
    /// A file that every checkpoint has is not there.
    #[error("{} is missing; every checkpoint directory has one", path.display())]
    MissingFile {
        /// Where it should be.
        path: PathBuf,
    },
    /// Something else stands where a file belongs.
    #[error("{} is {found} where a file belongs; remove it, then put the model's own file there or fetch the model again", path.display())]
    NotAFile {
        /// Where it stands.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// The operating system refused to read something.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// The reason of the operating system.
        source: std::io::Error,
    },
    /// A metadata file is far larger than any real one.
    #[error("{} has {found} bytes, more than the {limit} that any real one has", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is accepted, in bytes.
        limit: u64,
        /// Its length in bytes.
        found: u64,
    },
    /// A file that should hold JSON does not.
    #[error("{} is not valid JSON: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why parsing stopped.
        source: serde_json::Error,
    },

    // ---- config.json ----
    /// The checkpoint is of another architecture.
    #[error(
        "config.json describes {}; only Gemma3ForConditionalGeneration (model_type \"gemma3\", text with vision) and Gemma3ForCausalLM (model_type \"gemma3_text\", text alone) are supported",
        quoted(found)
    )]
    Architecture {
        /// What config.json says it is.
        found: String,
    },
    /// A field without a safe default is absent.
    #[error("config.json has no {field}, and no default would be right for every model")]
    MissingField {
        /// Dotted path of the field.
        field: String,
    },
    /// A field has a value that cannot be right.
    #[error("config.json: {field} {reason}")]
    Field {
        /// Dotted path of the field.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A field asks for something that this crate does not compute.
    #[error("config.json: {field} = {} is not supported; {supported}", line(found))]
    Unsupported {
        /// Dotted path of the field.
        field: String,
        /// Its value.
        found: String,
        /// What would be accepted.
        supported: &'static str,
    },
    /// A field of `generation_config.json` has a value that cannot be right.
    #[error("generation_config.json: {field} {reason}")]
    GenerationField {
        /// The field.
        field: String,
        /// What is wrong with it.
        reason: String,
    },

    // ---- weights ----
    /// Weights are quantised in a form that is recognised and not read.
    #[error(
        "{place} says that the weights are quantised by {form}, which is not read; use the checkpoint that they were made of (bfloat16), one that bitsandbytes quantised to NF4, or a GGUF file of the model (Q4_K_M, Q8_0)"
    )]
    Quantised {
        /// The file, and the field or tensor that says so.
        place: String,
        /// By what they are quantised.
        form: String,
    },
    /// The directory holds no weights in a known form.
    #[error("{} has neither model.safetensors nor model.safetensors.index.json", path.display())]
    NoWeights {
        /// The checkpoint directory.
        path: PathBuf,
    },
    /// The shard index is malformed, or names what it must not.
    #[error("{}: {reason}", path.display())]
    Index {
        /// The index file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The index names a shard that is not there.
    #[error("shard {} is missing, though model.safetensors.index.json names it; the download may be incomplete", path.display())]
    MissingShard {
        /// Where it should be.
        path: PathBuf,
    },
    /// The index places a tensor in a shard that does not have it.
    #[error(
        "model.safetensors.index.json places tensor {} in {}, which does not have it",
        quoted(name),
        quoted(shard)
    )]
    NotInShard {
        /// Stored name of the tensor.
        name: String,
        /// File name of the shard.
        shard: String,
    },
    /// The header of a safetensors file is broken or lies.
    #[error("{} has a broken safetensors header: {}", path.display(), line(reason))]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A safetensors file is shorter or longer than its header says.
    #[error("{} has {found} bytes but its header describes {expected}; it is truncated or damaged", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// Bytes that the header describes, itself included.
        expected: u64,
        /// Bytes in the file.
        found: u64,
    },
    /// Two stored tensors have the same meaning.
    #[error("tensors {} and {} both mean {}", quoted(first), quoted(second), quoted(name))]
    DuplicateTensor {
        /// Canonical name.
        name: String,
        /// One stored name.
        first: String,
        /// The other stored name.
        second: String,
    },
    /// A tensor that the configuration asks for is absent.
    #[error("tensor {name:?} is missing{}", nearest.as_ref().map(|n| format!("; the most similar name is {}", quoted(n))).unwrap_or_default())]
    MissingTensor {
        /// Canonical name.
        name: String,
        /// The most similar canonical name that exists.
        nearest: Option<String>,
    },
    /// A tensor is not of the shape that the configuration implies.
    #[error("tensor {} has shape {found:?}, but config.json implies {expected:?}", quoted(name))]
    Shape {
        /// Stored name.
        name: String,
        /// Shape by the configuration.
        expected: Vec<usize>,
        /// Shape in the file.
        found: Vec<usize>,
    },
    /// A tensor is stored in a type that weights cannot have here.
    #[error(
        "tensor {} is stored as {found}; only BF16, F16, F32 and F64 weights can be loaded",
        quoted(name)
    )]
    Dtype {
        /// Stored name.
        name: String,
        /// Type by the safetensors header.
        found: String,
    },

    // ---- device and memory ----
    /// A device name was not understood.
    #[error("unknown device {found:?}; use auto, cpu, cuda or cuda:N")]
    UnknownDevice {
        /// As given.
        found: String,
    },
    /// A dtype name was not understood.
    #[error("unknown dtype {found:?}; use auto, float32 or bfloat16")]
    UnknownDtype {
        /// As given.
        found: String,
    },
    /// CUDA was asked for and cannot be had.
    #[error("device {asked} was asked for, but {reason}; use cpu or auto")]
    NoCuda {
        /// The device asked for.
        asked: String,
        /// Why it cannot be had.
        reason: String,
    },
    /// So many threads cannot compute.
    #[error(
        "{asked} threads cannot be used: from 1 to {most} on this machine, which has {cores} cores"
    )]
    Threads {
        /// As asked.
        asked: usize,
        /// The most that are accepted.
        most: usize,
        /// Cores that the process may use.
        cores: usize,
    },
    /// The model would not fit into memory.
    #[error("{} needs about {needed} of memory and {available} is available", what)]
    Memory {
        /// What would be loaded or made.
        what: String,
        /// Bytes, for people.
        needed: crate::memory::Bytes,
        /// Bytes, for people.
        available: crate::memory::Bytes,
    },
    // ---- running the model ----
    /// A picture's pixels are not of the model's size.
    #[error(
        "pixels have shape {found:?}, but the model takes {expected:?} [channels, height, width]"
    )]
    Pixels {
        /// By the configuration.
        expected: [usize; 3],
        /// As given.
        found: [usize; 3],
    },
    /// A token id is not in the vocabulary.
    #[error("token id {id} is outside the model's vocabulary of {vocab_size}")]
    TokenId {
        /// The id.
        id: u32,
        /// Size of the vocabulary.
        vocab_size: usize,
    },
    /// An attention that continues a sequence of tokens was to serve the vision tower.
    #[error(
        "`{attention}` is for the language model and cannot compute the attention of the vision tower"
    )]
    Tower {
        /// The attention's name.
        attention: &'static str,
    },
    /// Image spans and image features do not fit the sequence.
    #[error("image spans {spans:?} do not fit {features} images in a sequence of {tokens} tokens")]
    ImageSpans {
        /// Positions of image tokens, as given.
        spans: Vec<std::ops::Range<usize>>,
        /// Length of the sequence.
        tokens: usize,
        /// Number of images given.
        features: usize,
    },
    /// A sequence cannot fork there.
    #[error(
        "a prefix of {prefix} tokens cannot go on in two ways: the sequence has {tokens}, its pictures end at {images_end}, and it may fork once"
    )]
    Prefix {
        /// Length of the prefix, as asked.
        prefix: usize,
        /// Length of the sequence.
        tokens: usize,
        /// One behind the last image token.
        images_end: usize,
    },
    /// A part of a sequence cannot be run for itself.
    #[error(
        "tokens {part:?} of {tokens} cannot be run: the part is empty, goes too far, or cuts a picture"
    )]
    Part {
        /// The part, as asked.
        part: std::ops::Range<usize>,
        /// Length of the sequence.
        tokens: usize,
    },
    /// The model computed NaN or infinity.
    #[error(
        "the logits at position {position} are not finite{}; the weights are damaged or overflow in this dtype, try float32",
        layer.map(|layer| format!(", from the output of layer {layer} on")).unwrap_or_default()
    )]
    NonFinite {
        /// Position in the sequence.
        position: usize,
        /// The first layer whose output is not finite; `None` where only the head's is.
        layer: Option<usize>,
    },

    // ---- the hub (feature `hub`) ----
    /// A text is not the id of a model.
    #[error("{found:?} is neither a directory nor a model id; ids look like owner/name")]
    HubId {
        /// As given.
        found: String,
    },
    /// A text cannot be a revision.
    #[error("{found:?} cannot be a revision; it is a branch, a tag or a commit")]
    HubRevision {
        /// As given.
        found: String,
    },
    /// A text cannot be the name of a GGUF file on the hub.
    #[error(
        "{} cannot be a GGUF file of a repository; its name is NAME.gguf, or FOLDER/NAME.gguf",
        quoted(found)
    )]
    HubFileName {
        /// As given.
        found: String,
    },
    /// A repository has GGUF files, and none of them was named or one that is not there.
    #[error("{}{}", lacks(id, asked.as_deref()), gguf_files(files))]
    HubGguf {
        /// The model.
        id: String,
        /// The file that was asked for; `None`: a checkpoint of transformers.
        asked: Option<String>,
        /// The GGUF files that there are, by their names in the repository.
        files: Vec<String>,
    },
    /// A gated or private model without access.
    #[error(
        "no access to {id}: open {page}, log in and accept the licence, create a token with read access in your settings there, and set HF_TOKEN to it or log in with `hf auth login`{said}"
    )]
    HubAccess {
        /// The model.
        id: String,
        /// Address of its page.
        page: String,
        /// What the hub adds, or nothing.
        said: String,
    },
    /// A repository of the hub is an adapter, not a model.
    #[error(
        "{id} is an adapter, not a model: name the model that it belongs to, and this one as an adapter"
    )]
    HubAdapter {
        /// The repository.
        id: String,
    },
    /// The hub sent something else than the file.
    #[error(
        "the download of {name} is not the file that the hub lists ({reason}); it was not kept in the cache, so try again"
    )]
    HubDamaged {
        /// Name of the file.
        name: String,
        /// How it was seen.
        reason: String,
    },
    /// No connection.
    #[error(
        "cannot reach {endpoint} ({reason}); a model that was fetched before can be used offline (HF_HUB_OFFLINE=1)"
    )]
    HubUnreachable {
        /// Address of the hub.
        endpoint: String,
        /// What the network said.
        reason: String,
    },
    /// No request may be made, and files are missing.
    #[error("offline, and the cache lacks files of {id} at {revision}: {}; fetch it once while online", missing.join(", "))]
    Offline {
        /// The model.
        id: String,
        /// The revision asked for.
        revision: String,
        /// Names of the missing files.
        missing: Vec<String>,
    },
    /// The caller has had enough.
    #[error("fetching {id} was stopped; the next call goes on where it was")]
    HubCancelled {
        /// The model.
        id: String,
    },
    /// Anything else between us and the hub.
    #[error("cannot fetch {id} from the hub: {reason}")]
    Hub {
        /// The model.
        id: String,
        /// What happened.
        reason: String,
    },
    /// The operating system refused to write or remove something.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The reason of the operating system.
        source: std::io::Error,
    },
    /// libtorch refused.
    #[error("{context}: {}", first_line(source))]
    Torch {
        /// What was being done.
        context: String,
        /// The error of libtorch, with its C++ trace.
        source: TchError,
    },
}

/// Names of files behind a message.
fn listed(files: &[String]) -> String {
    if files.is_empty() { String::new() } else { format!(": {}", quoted(&files.join(", "))) }
}

/// Names of GGUF files that are shown of one repository.
const MOST_SHOWN: usize = 40;

fn lacks(id: &str, asked: Option<&str>) -> String {
    match asked {
        None => format!(
            "{id} has no model.safetensors, and GGUF files; name the one that shall be used"
        ),
        Some(asked) => format!("{id} has no file {}; name one of its GGUF files", quoted(asked)),
    }
}

fn gguf_files(files: &[String]) -> String {
    let shown: Vec<String> = files.iter().take(MOST_SHOWN).map(|file| line(file)).collect();
    let more = match files.len().saturating_sub(MOST_SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(": {}{more}", shown.join(", "))
}

impl Error {
    /// Whether memory ran out inside libtorch, on the CPU or on CUDA: by the words of its allocators, it has no code for it.
    pub fn is_out_of_memory(&self) -> bool {
        let words = ["can't allocate memory", "not enough memory", "out of memory"];
        matches!(self, Self::Torch { source, .. } if words.iter().any(|words| source.to_string().contains(words)))
    }

    /// Wraps an error of libtorch with what was being done.
    pub(crate) fn torch(context: impl Into<String>) -> impl FnOnce(TchError) -> Self {
        let context = context.into();
        move |source| Self::Torch { context, source }
    }

    /// Wraps an error of the operating system with the path it is about.
    pub(crate) fn read(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }

    pub(crate) fn field(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Field { field: field.into(), reason: reason.into() }
    }
}

/// The message without the C++ stack trace that libtorch appends.
fn first_line(error: &TchError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
