//! Quantised weights stay in their file: what a process holds beside the file is far below what they would take expanded. Alone in its
//! process, so that nobody else's memory is counted.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use gemma3_tch::{Checkpoint, DeviceSpec, DtypeSpec, Fast};
use tch::Kind;

const HIDDEN: u64 = 1024;
const INNER: u64 = 4096;
const ROWS: u64 = 16_384;
const LAYERS: u64 = 4;
/// `Q4_K`: 256 weights in 144 bytes.
const Q4_K: u32 = 12;
/// What is expanded at a time, three times over: as float32 numbers, as a tensor, and in the type of products.
const TILES: u64 = 3 * (16 << 20);

struct Header(Vec<u8>);

impl Header {
    fn u32(&mut self, number: u32) -> &mut Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    fn u64(&mut self, number: u64) -> &mut Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.u64(text.len() as u64).0.extend(text.as_bytes());
        self
    }
}

/// A language model whose matrices are zeros in `Q4_K`, on a disk that keeps no zeros. Gives the number of weights in them.
fn write(path: &Path) -> u64 {
    let mut tensors: Vec<(String, Vec<u64>)> = vec![
        ("token_embd.weight".to_owned(), vec![HIDDEN, ROWS]),
        ("output_norm.weight".to_owned(), vec![HIDDEN]),
    ];
    for layer in 0..LAYERS {
        for (part, sides) in [
            ("attn_norm", vec![HIDDEN]),
            ("post_attention_norm", vec![HIDDEN]),
            ("ffn_norm", vec![HIDDEN]),
            ("post_ffw_norm", vec![HIDDEN]),
            ("attn_q_norm", vec![256]),
            ("attn_k_norm", vec![256]),
            ("attn_q", vec![HIDDEN, 1024]),
            ("attn_k", vec![HIDDEN, 256]),
            ("attn_v", vec![HIDDEN, 256]),
            ("attn_output", vec![1024, HIDDEN]),
            ("ffn_gate", vec![HIDDEN, INNER]),
            ("ffn_up", vec![HIDDEN, INNER]),
            ("ffn_down", vec![INNER, HIDDEN]),
        ] {
            tensors.push((format!("blk.{layer}.{part}.weight"), sides));
        }
    }
    let sizes = [
        ("context_length", 8192),
        ("embedding_length", HIDDEN),
        ("block_count", LAYERS),
        ("feed_forward_length", INNER),
        ("attention.head_count", 4),
        ("attention.head_count_kv", 1),
        ("attention.sliding_window", 512),
    ];
    let mut header = Header(b"GGUF".to_vec());
    header.u32(3).u64(tensors.len() as u64).u64(1 + sizes.len() as u64);
    header.text("general.architecture").u32(8).text("gemma3");
    for (name, size) in sizes {
        header.text(&format!("gemma3.{name}")).u32(4).u32(size as u32);
    }
    let (mut start, mut weights) = (0, 0);
    for (name, sides) in &tensors {
        header.text(name).u32(sides.len() as u32);
        for &side in sides {
            header.u64(side);
        }
        let count: u64 = sides.iter().product();
        let (kind, bytes) =
            if sides.len() == 1 { (0, 4 * count) } else { (Q4_K, count / 256 * 144) };
        header.u32(kind).u64(start);
        start += bytes.next_multiple_of(32);
        weights += if kind == Q4_K { count } else { 0 };
    }
    let data = (header.0.len() as u64).next_multiple_of(32);
    fs::write(path, &header.0).unwrap();
    fs::File::options().write(true).open(path).unwrap().set_len(data + start).unwrap();
    weights
}

/// Bytes of this process that are in no file.
fn held() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
}

#[test]
fn quantised_weights_are_never_expanded_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    let weights = write(&path);
    let expanded = 2 * weights; // in bfloat16, the type of products
    assert!(3 * TILES < expanded, "the test says nothing of a smaller model");

    // libtorch and its threads are there before anything is counted.
    let warm = tch::Tensor::ones([512, 512], (Kind::BFloat16, tch::Device::Cpu));
    drop(warm.matmul(&warm));
    let before = held();
    let checkpoint = Checkpoint::open_gguf(&path, None).unwrap();
    let placement = checkpoint.placement(DeviceSpec::Cpu, DtypeSpec::BFloat16).unwrap();
    let model = checkpoint.load(placement).unwrap();
    let loaded = held() - before;
    assert!(loaded < 8 << 20, "{} MB were taken to load", loaded >> 20);

    let (peak, done) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                peak.fetch_max(held(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let sequence = model.sequence(vec![2, 3, 4, 5], vec![], vec![]).unwrap();
        let last = tch::no_grad(|| {
            let rows = model.forward(&sequence, &mut Fast);
            model.text().logits(&rows.narrow(0, 3, 1))
        });
        let gradient = model.text().pull_head(&last.to_kind(Kind::Float));
        assert_eq!(gradient.size(), [1, HIDDEN as i64]);
        done.store(true, Ordering::Relaxed);
    });
    let used = peak.load(Ordering::Relaxed) - before;
    // Freed blocks may stay with the allocator: twice what is expanded at a time.
    assert!(used < 2 * TILES, "{} MB were used of {} MB expanded", used >> 20, expanded >> 20);
}
