//! Weights in a GGUF file: names by llama.cpp, types by ggml, norms of Gemma stored as 1 + w.

use std::cell::OnceCell;
use std::path::Path;

use quantised_weights::{BlockType, Gguf, TensorInfo};
use tch::{Device, Kind, Tensor};

use super::Placement;
use crate::weight::{Blocks, Code, Weight};
use crate::{Error, files};

/// A GGUF file whose header has been read.
pub(crate) struct GgufShard {
    gguf: Gguf,
    /// All bytes of the file, mapped on first use; libtorch owns the map.
    map: OnceCell<Tensor>,
}

impl GgufShard {
    /// Reads and checks the header. Nothing is mapped yet.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let gguf = Gguf::read(path, files::open(path)?)?;
        Ok(Self { gguf, map: OnceCell::new() })
    }

    pub(crate) fn header(&self) -> &Gguf {
        &self.gguf
    }

    /// Names in the file, with the canonical ones; its own where there is none.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, String)> {
        self.gguf.tensors().keys().map(|name| {
            let canonical = canonical(name, self.is_swapped(name));
            (name.as_str(), canonical.unwrap_or_else(|| name.clone()))
        })
    }

    pub(crate) fn info(&self, stored: &str) -> &TensorInfo {
        &self.gguf.tensors()[stored]
    }

    /// A tensor in the type and at the place asked for; expanded where it is quantised, so this is for small ones.
    pub(crate) fn tensor(&self, stored: &str, placement: Placement) -> Result<Tensor, Error> {
        let info = self.info(stored);
        let shape: Vec<i64> = info.shape.iter().map(|&side| side as i64).collect();
        let to = placement.kind.unwrap_or(kind_of(info.blocks).unwrap_or(Kind::Float));
        if let Some(kind) = kind_of(info.blocks) {
            // What is converted does not stay resident: its map is closed at once.
            let stays = kind == to && placement.device == Device::Cpu;
            let bytes =
                if stays { self.bytes(info)? } else { self.slice(&self.map_file()?, info)? };
            return bytes
                .f_view_dtype(kind)
                .and_then(|tensor| tensor.f_view(shape.as_slice()))
                .and_then(|tensor| tensor.f_to_device_(placement.device, to, false, false))
                .map_err(|error| self.failed(error));
        }
        let mut bytes = vec![0_u8; info.bytes as usize];
        self.bytes(info)?.copy_data(&mut bytes, info.bytes as usize);
        let mut numbers = vec![0_f32; info.shape.iter().product()];
        info.blocks.dequantise(&bytes, &mut numbers);
        let tensor = Tensor::from_slice(&numbers).view(shape.as_slice());
        Ok(tensor.to_device_(placement.device, to, false, false))
    }

    /// A matrix; a quantised one stays as it is in the file.
    pub(crate) fn weight(&self, stored: &str, placement: Placement) -> Result<Weight, Error> {
        let info = self.info(stored);
        if kind_of(info.blocks).is_some() {
            return Ok(Weight::Dense(self.tensor(stored, placement)?));
        }
        let [outputs, inputs] =
            <[usize; 2]>::try_from(info.shape.clone()).expect("its shape was checked");
        let bytes = self.bytes(info)?.view([outputs as i64, -1]);
        Ok(Weight::Blocks(Blocks {
            bytes,
            inputs: inputs as i64,
            code: Code::Gguf(info.blocks),
            kind: placement.kind.unwrap_or(Kind::Float),
            device: placement.device,
        }))
    }

    /// The bytes of a tensor, a view of the file.
    fn bytes(&self, info: &TensorInfo) -> Result<Tensor, Error> {
        if self.map.get().is_none() {
            // Nobody else can fill the cell meanwhile: it is not shared between threads.
            let _ = self.map.set(self.map_file()?);
        }
        self.slice(self.map.get().expect("filled above"), info)
    }

    fn slice(&self, map: &Tensor, info: &TensorInfo) -> Result<Tensor, Error> {
        map.f_narrow(0, info.start as i64, info.bytes as i64).map_err(|error| self.failed(error))
    }

    /// The map is private: were it written to, the file would not change.
    fn map_file(&self) -> Result<Tensor, Error> {
        let path = self.gguf.path();
        let name = path.to_str().ok_or_else(|| Error::Header {
            path: path.to_owned(),
            reason: "its path is not valid UTF-8".to_owned(),
        })?;
        let length = self.gguf.length() as i64;
        Tensor::f_from_file(name, false, length, (Kind::Uint8, Device::Cpu))
            .map_err(|error| self.failed(error))
    }

    fn failed(&self, error: tch::TchError) -> Error {
        Error::torch(format!("reading a tensor of {}", self.gguf.path().display()))(error)
    }

    /// Whether the two maps of a vision layer's MLP bear each other's names, as files of early converters have them: the first map makes
    /// rows wider.
    fn is_swapped(&self, name: &str) -> bool {
        let Some((layer, _)) = name.strip_prefix("v.blk.").and_then(|rest| rest.split_once('.'))
        else {
            return false;
        };
        let up = self.gguf.tensors().get(&format!("v.blk.{layer}.ffn_up.weight"));
        up.is_some_and(|up| up.shape.len() == 2 && up.shape[0] < up.shape[1])
    }
}

/// The type of libtorch of what is stored plainly; `None` for quantised blocks.
pub(super) fn kind_of(blocks: BlockType) -> Option<Kind> {
    match blocks {
        BlockType::F32 => Some(Kind::Float),
        BlockType::F16 => Some(Kind::Half),
        BlockType::BF16 => Some(Kind::BFloat16),
        _ => None,
    }
}

/// Names outside of layers (`gguf-py/gguf/tensor_mapping.py` of llama.cpp has all of them).
const NAMES: [(&str, &str); 10] = [
    ("token_embd.weight", "language_model.embed_tokens.weight"),
    ("output_norm.weight", "language_model.norm.weight"),
    ("output.weight", "lm_head.weight"),
    ("v.patch_embd.weight", "vision_tower.embeddings.patch_embedding.weight"),
    ("v.patch_embd.bias", "vision_tower.embeddings.patch_embedding.bias"),
    ("v.position_embd.weight", "vision_tower.embeddings.position_embedding.weight"),
    ("v.post_ln.weight", "vision_tower.post_layernorm.weight"),
    ("v.post_ln.bias", "vision_tower.post_layernorm.bias"),
    ("mm.input_projection.weight", "multi_modal_projector.mm_input_projection_weight"),
    ("mm.soft_emb_norm.weight", "multi_modal_projector.mm_soft_emb_norm.weight"),
];

/// Parts of a layer of the language model.
const TEXT: [(&str, &str); 13] = [
    ("attn_norm", "input_layernorm"),
    ("post_attention_norm", "post_attention_layernorm"),
    ("ffn_norm", "pre_feedforward_layernorm"),
    ("post_ffw_norm", "post_feedforward_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// Parts of a layer of the vision tower.
const VISION: [(&str, &str); 10] = [
    ("ln1", "layer_norm1"),
    ("ln2", "layer_norm2"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_out", "self_attn.out_proj"),
    ("ffn_up", "mlp.fc1"),
    ("ffn_down", "mlp.fc2"),
    ("fc1", "mlp.fc1"),
    ("fc2", "mlp.fc2"),
];

/// The canonical name of a tensor; `None` for one that Gemma 3 does not have.
fn canonical(stored: &str, is_swapped: bool) -> Option<String> {
    if let Some((_, name)) = NAMES.iter().find(|(own, _)| *own == stored) {
        return Some((*name).to_owned());
    }
    let (prefix, layers, parts) = if stored.starts_with("v.") {
        ("v.blk.", "vision_tower.encoder.layers", &VISION[..])
    } else {
        ("blk.", "language_model.layers", &TEXT[..])
    };
    let (layer, rest) = stored.strip_prefix(prefix)?.split_once('.')?;
    let layer: usize = layer.parse().ok()?;
    let (part, kind) = rest.rsplit_once('.')?;
    let part = match part {
        "ffn_up" if is_swapped => "ffn_down",
        "ffn_down" if is_swapped => "ffn_up",
        part => part,
    };
    let (_, part) = parts.iter().find(|(own, _)| *own == part)?;
    matches!(kind, "weight" | "bias").then(|| format!("{layers}.{layer}.{part}.{kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_llama_cpp_are_understood() {
        for (stored, name) in [
            ("token_embd.weight", "language_model.embed_tokens.weight"),
            ("blk.17.attn_q.weight", "language_model.layers.17.self_attn.q_proj.weight"),
            ("blk.0.ffn_norm.weight", "language_model.layers.0.pre_feedforward_layernorm.weight"),
            ("v.blk.3.attn_out.bias", "vision_tower.encoder.layers.3.self_attn.out_proj.bias"),
            ("v.blk.3.ffn_up.weight", "vision_tower.encoder.layers.3.mlp.fc1.weight"),
            ("v.blk.3.fc2.weight", "vision_tower.encoder.layers.3.mlp.fc2.weight"),
            ("mm.soft_emb_norm.weight", "multi_modal_projector.mm_soft_emb_norm.weight"),
        ] {
            assert_eq!(canonical(stored, false).as_deref(), Some(name));
        }
        let swapped = canonical("v.blk.3.ffn_up.bias", true);
        assert_eq!(swapped.as_deref(), Some("vision_tower.encoder.layers.3.mlp.fc2.bias"));
        for unknown in
            ["blk.x.attn_q.weight", "blk.1.attn_qkv.weight", "rope_freqs.weight", "v.cls"]
        {
            assert_eq!(canonical(unknown, false), None, "{unknown}");
        }
    }
    #[test]
    fn what_is_converted_leaves_no_map_behind() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/gguf");
        let file = GgufShard::open(&path.join("mmproj.gguf")).unwrap();
        let name = "mm.input_projection.weight";
        let bfloat16 = Placement { kind: Some(Kind::BFloat16), ..Placement::AS_STORED };
        let converted = file.tensor(name, bfloat16).unwrap();
        assert_eq!(converted.kind(), Kind::BFloat16);
        assert!(file.map.get().is_none());
        let stored = file.tensor(name, Placement::AS_STORED).unwrap();
        assert!(file.map.get().is_some());
        assert_eq!(stored.to_kind(Kind::BFloat16), converted);
        let again = file.tensor(name, Placement::AS_STORED).unwrap();
        assert_eq!(stored.data_ptr(), again.data_ptr(), "views of one map");
    }
}
