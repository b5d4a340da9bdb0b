//! The fast attention: libtorch's fused kernel over blocks of queries, with the keys and values of earlier calls kept.

use crate::dense;
use crate::{Attend, Error, MaskRule, Qkv, Site, Tower, Watch, guard};
use std::ops::Range;
use tch::{Device, Kind, Tensor};

/// Most query rows that are handed to the kernel at once: it bounds the mask to `QUERY_BLOCK × S` and lets a sliding layer skip
/// the keys that no row of the block sees.
const QUERY_BLOCK: usize = 512;

/// Plain attention without memory: the vision tower, or a sequence in one go.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fast;

impl Attend for Fast {
    fn attend(&mut self, _: Site, qkv: &Qkv, mask: &MaskRule) -> Tensor {
        let dense = if *mask == MaskRule::all() { dense::attend(qkv) } else { None };
        dense.unwrap_or_else(|| {
            let kept =
                Kept { k: qkv.k.shallow_clone(), v: qkv.v.shallow_clone(), first: qkv.start };
            attend_in_blocks(qkv, &kept, mask)
        })
    }
}

impl<Trace> Watch<Trace> for Fast {}

/// Plain attention that remembers keys and values by layer, so that a sequence can be continued token by token. It serves the language
/// model alone: the vision tower continues nothing, and its keys would be taken for those of tokens.
///
/// A layer with a window of `w` keys keeps no more than it can still see. Runs may part ([`Cached::branch`]).
#[derive(Debug, Default)]
pub struct Cached {
    layers: Vec<Cache>,
}

impl Cached {
    /// Another run from the same point: what either takes from now on, the other does not see. Keys and values are copied once, in a
    /// buffer that they fill, and only those that a later token can still see; branches of a branch share that buffer until they take
    /// something.
    ///
    /// # Errors
    /// Where there is no memory for the copy.
    pub fn branch(&self) -> Result<Self, Error> {
        let _no_grad = tch::no_grad_guard();
        guard("copying keys and values", || Self {
            layers: self.layers.iter().map(Cache::branch).collect(),
        })
    }

    /// Bytes of the keys and values, with the room for more.
    pub fn bytes(&self) -> u64 {
        let buffers = self.layers.iter().filter_map(|layer| layer.buffer.as_ref());
        buffers.map(|x| (x.numel() * x.kind().elt_size_in_bytes()) as u64).sum()
    }

    /// The attention of tokens that follow what is kept here, of which it keeps nothing: any number of continuations may start from the
    /// same point, each in one go.
    pub fn ahead(&self) -> Ahead<'_> {
        Ahead { kept: self }
    }

    /// The same for several continuations side by side: as many runs of tokens as `hidden` has entries, equally long, one behind the other
    /// in the rows of the call ([`Place::in_runs_of`](crate::Place::in_runs_of)). No run sees another, and each has spans of its own hidden
    /// from what stands behind them. Weights are read once for all of them.
    pub fn abreast<'a>(&'a self, hidden: &'a [Vec<Range<usize>>]) -> Abreast<'a> {
        Abreast { kept: self, hidden, masks: Vec::new() }
    }
}

/// Plain attention over what a [`Cached`] keeps and the tokens of the call themselves: [`Cached::ahead`].
#[derive(Clone, Copy, Debug)]
pub struct Ahead<'a> {
    kept: &'a Cached,
}

impl Attend for Ahead<'_> {
    fn check(&self, tower: Tower) -> Result<(), Error> {
        self.kept.check(tower)
    }

    fn attend(&mut self, site: Site, qkv: &Qkv, mask: &MaskRule) -> Tensor {
        match self.kept.layers.get(site.layer).filter(|cache| 0 < cache.len) {
            None => Fast.attend(site, qkv, mask),
            Some(cache) => {
                let before = cache.kept();
                let with = |kept: &Tensor, own: &Tensor| Tensor::cat(&[kept, own], 1);
                let (k, v) = (with(&before.k, &qkv.k), with(&before.v, &qkv.v));
                attend_in_blocks(qkv, &Kept { k, v, first: before.first }, mask)
            }
        }
    }
}

impl<Trace> Watch<Trace> for Ahead<'_> {}

/// Plain attention of several continuations of one [`Cached`]: [`Cached::abreast`].
#[derive(Debug)]
pub struct Abreast<'a> {
    kept: &'a Cached,
    hidden: &'a [Vec<Range<usize>>],
    /// What the runs see by a rule, made once for all layers that share it: for each block of queries its keys and their mask,
    /// bool `[runs, 1, b, m]`.
    masks: Vec<(MaskRule, Vec<Block>)>,
}

/// Queries and the keys that any of them sees.
#[derive(Debug)]
struct Block {
    queries: Range<usize>,
    keys: Range<usize>,
    mask: Option<Tensor>,
}

impl Abreast<'_> {
    fn blocks(&mut self, rule: &MaskRule, rows: &Range<usize>, device: Device) -> &[Block] {
        let at = self.masks.iter().position(|(known, _)| known == rule).unwrap_or_else(|| {
            let blocks = rows.clone().step_by(QUERY_BLOCK).map(|first| {
                let queries = first..(first + QUERY_BLOCK).min(rows.end);
                let keys = rule.keys(&queries, rows.end);
                let size = [queries.len() as i64, keys.len() as i64];
                let seen = |hidden: &Vec<Range<usize>>| {
                    rule.clone().hiding(hidden.clone()).block(&queries, &keys, device)
                };
                let seen: Vec<Option<Tensor>> = self.hidden.iter().map(seen).collect();
                let all = || Tensor::ones(size, (Kind::Bool, device));
                let mask = seen.iter().any(Option::is_some).then(|| {
                    let each = seen.into_iter().map(|mask| mask.unwrap_or_else(all));
                    Tensor::stack(&each.collect::<Vec<_>>(), 0).unsqueeze(1)
                });
                Block { queries, keys, mask }
            });
            let blocks = blocks.collect();
            self.masks.push((rule.clone(), blocks));
            self.masks.len() - 1
        });
        &self.masks[at].1
    }
}

impl Attend for Abreast<'_> {
    fn check(&self, tower: Tower) -> Result<(), Error> {
        self.kept.check(tower)
    }

    fn attend(&mut self, site: Site, qkv: &Qkv, mask: &MaskRule) -> Tensor {
        let (runs, group) = (self.hidden.len() as i64, qkv.group());
        let rows = qkv.tokens() / self.hidden.len();
        let kept = self.kept.layers.get(site.layer).filter(|cache| 0 < cache.len).map(Cache::kept);
        let first = kept.as_ref().map_or(qkv.start, |kept| kept.first);
        let by_run = |x: &Tensor| {
            let [heads, _, d] = <[i64; 3]>::try_from(x.size()).expect("heads are [H, n, d]");
            x.reshape([heads, runs, rows as i64, d]).transpose(0, 1) // [runs, H, n, d]
        };
        let whole = |kept: Option<&Tensor>, own: &Tensor| {
            let own = by_run(own);
            let all = match kept {
                Some(kept) => {
                    Tensor::cat(&[kept.unsqueeze(0).expand([runs, -1, -1, -1], false), own], 2)
                }
                None => own,
            };
            if group == 1 { all } else { all.repeat_interleave_self_int(group, 1, None) }
        };
        let k = whole(kept.as_ref().map(|kept| &kept.k), &qkv.k);
        let v = whole(kept.as_ref().map(|kept| &kept.v), &qkv.v);
        let (q, scale) = (by_run(&qkv.q), qkv.scale);
        let span = qkv.start..qkv.start + rows;
        let blocks = self.blocks(mask, &span, qkv.q.device()).iter().map(|block| {
            let of = |x: &Tensor, start: usize, part: &Range<usize>| {
                x.narrow(2, (part.start - start) as i64, part.len() as i64)
            };
            let (k, v) = (of(&k, first, &block.keys), of(&v, first, &block.keys));
            let q = of(&q, span.start, &block.queries);
            let mask = block.mask.as_ref();
            Tensor::scaled_dot_product_attention(&q, &k, &v, mask, 0.0, false, scale, false)
        });
        let seen = Tensor::cat(&blocks.collect::<Vec<_>>(), 2); // [runs, H, n, d]
        let seen = seen.transpose(0, 1);
        seen.flatten(1, 2)
    }
}

impl<Trace> Watch<Trace> for Abreast<'_> {}

impl Attend for Cached {
    fn check(&self, tower: Tower) -> Result<(), Error> {
        match tower {
            Tower::Text => Ok(()),
            Tower::Vision => Err(Error::Tower { attention: "Cached" }),
        }
    }

    fn attend(&mut self, site: Site, qkv: &Qkv, mask: &MaskRule) -> Tensor {
        assert_eq!(site.tower, Tower::Text, "a cache continues tokens (`Attend::check`)");
        if self.layers.len() <= site.layer {
            self.layers.resize_with(site.layer + 1, Cache::default);
        }
        let cache = &mut self.layers[site.layer];
        // Keys fall out of a window in the order of their positions, which in a fork is not that of the cache.
        cache.append(qkv, mask.window().filter(|_| mask.layout().fork().is_none()));
        attend_in_blocks(qkv, &cache.kept(), mask)
    }

    fn seen(&self) -> usize {
        self.layers.first().map_or(0, Cache::end)
    }
}

impl<Trace> Watch<Trace> for Cached {}

/// Keys and values `[K, n, d]` of tokens `first..first + n`.
struct Kept {
    k: Tensor,
    v: Tensor,
    first: usize,
}

/// The keys and values of one layer, in a buffer that grows by doubling. A full buffer is never written again, so it may be shared.
#[derive(Debug, Default)]
struct Cache {
    /// `[2, K, capacity, d]`: keys, values.
    buffer: Option<Tensor>,
    len: usize,
    first: usize,
    /// How many keys a query sees, where older ones may go.
    window: Option<usize>,
}

impl Cache {
    fn append(&mut self, qkv: &Qkv, window: Option<usize>) {
        let (n, capacity) = (qkv.tokens(), self.capacity());
        if self.buffer.is_none() {
            self.first = qkv.start;
        }
        assert_eq!(qkv.start, self.end(), "tokens follow those that are kept (`Attend::seen`)");
        self.window = window;
        if capacity < self.len + n {
            self.make_room(qkv);
        }
        let buffer = self.buffer.as_ref().expect("room was made");
        for (side, new) in [&qkv.k, &qkv.v].into_iter().enumerate() {
            buffer.get(side as i64).narrow(1, self.len as i64, n as i64).copy_(new);
        }
        self.len += n;
    }

    /// Drops what no later query sees, then moves the rest into a buffer with room for as much again.
    fn make_room(&mut self, qkv: &Qkv) {
        let [n_heads, n, d] = <[i64; 3]>::try_from(qkv.k.size()).expect("keys are [K, n, d]");
        let keep = self.in_sight();
        let capacity = (2 * (keep as i64 + n)).max(256);
        let grown = Tensor::empty([2, n_heads, capacity, d], (qkv.k.kind(), qkv.k.device()));
        if let Some(old) = self.buffer.take() {
            grown.narrow(2, 0, keep as i64).copy_(&old.narrow(
                2,
                (self.len - keep) as i64,
                keep as i64,
            ));
        }
        self.first += self.len - keep;
        self.len = keep;
        self.buffer = Some(grown);
    }

    /// The last of the keys, that a token behind them can see.
    fn in_sight(&self) -> usize {
        self.window.map_or(self.len, |window| self.len.min(window - 1))
    }

    /// The same keys and values in a buffer that they fill.
    fn branch(&self) -> Self {
        let len = self.in_sight();
        let of = |buffer: &Tensor| {
            if len == self.capacity() {
                buffer.shallow_clone()
            } else {
                buffer.narrow(2, (self.len - len) as i64, len as i64).copy()
            }
        };
        let buffer = self.buffer.as_ref().map(of);
        Self { buffer, len, first: self.end() - len, window: self.window }
    }

    /// One behind the last token.
    fn end(&self) -> usize {
        self.first + self.len
    }

    fn capacity(&self) -> usize {
        self.buffer.as_ref().map_or(0, |buffer| buffer.size()[2] as usize)
    }

    fn kept(&self) -> Kept {
        let all =
            self.buffer.as_ref().expect("something was appended").narrow(2, 0, self.len as i64);
        Kept { k: all.get(0), v: all.get(1), first: self.first }
    }
}

fn attend_in_blocks(qkv: &Qkv, kept: &Kept, mask: &MaskRule) -> Tensor {
    let (n, tokens) = (qkv.tokens(), kept.first + kept.k.size()[1] as usize);
    let blocks: Vec<Tensor> = (0..n)
        .step_by(QUERY_BLOCK)
        .map(|row| {
            let rows = row..(row + QUERY_BLOCK).min(n);
            let queries = qkv.start + rows.start..qkv.start + rows.end;
            let keys = mask.keys(&queries, tokens);
            attend_block(qkv, &rows, kept, &keys, mask.block(&queries, &keys, qkv.q.device()))
        })
        .collect();
    if blocks.len() == 1 {
        blocks.into_iter().next().expect("one block")
    } else {
        Tensor::cat(&blocks, 1)
    }
}

fn attend_block(
    qkv: &Qkv,
    rows: &Range<usize>,
    kept: &Kept,
    keys: &Range<usize>,
    mask: Option<Tensor>,
) -> Tensor {
    let (offset, len) = ((keys.start - kept.first) as i64, keys.len() as i64);
    let (k, v) = (kept.k.narrow(1, offset, len), kept.v.narrow(1, offset, len)); // [K, m, d]
    let q = qkv.q.narrow(1, rows.start as i64, rows.len() as i64); // [H, b, d]
    let [n_heads, b, d] = <[i64; 3]>::try_from(q.size()).expect("queries are [H, n, d]");
    let group = qkv.group();
    if b == 1 && mask.is_none() {
        // One row of every head of a group makes one product with the group's keys: nothing is copied.
        let q = q.reshape([n_heads / group, group, d]);
        return fused(&q, &k, &v, None, qkv.scale).reshape([n_heads, 1, d]);
    }
    let repeat = |x: &Tensor| {
        if group == 1 { x.shallow_clone() } else { x.repeat_interleave_self_int(group, 0, None) }
    };
    fused(&q, &repeat(&k), &repeat(&v), mask, qkv.scale)
}

/// `[H, b, d]` from `q [H, b, d]`, `k, v [H, m, d]`, mask bool `[b, m]`.
fn fused(q: &Tensor, k: &Tensor, v: &Tensor, mask: Option<Tensor>, scale: f64) -> Tensor {
    debug_assert!(mask.as_ref().is_none_or(|mask| mask.kind() == Kind::Bool));
    let [q, k, v] = [q, k, v].map(|x| x.unsqueeze(0));
    Tensor::scaled_dot_product_attention(&q, &k, &v, mask, 0.0, false, scale, false).squeeze_dim(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SequenceLayout;

    const SITE: Site = Site { tower: Tower::Text, layer: 0 };

    fn random(n: i64, start: usize) -> Qkv {
        let make = |heads| Tensor::randn([heads, n, 8], (Kind::Float, Device::Cpu));
        Qkv { q: make(4), k: make(2), v: make(2), scale: 0.3, start }
    }

    fn causal(window: Option<usize>, images: &[Range<usize>]) -> MaskRule {
        MaskRule::causal(window, &SequenceLayout::unforked(images.to_vec()))
    }

    fn piece(qkv: &Qkv, rows: Range<usize>) -> Qkv {
        let cut = |x: &Tensor| x.narrow(1, rows.start as i64, rows.len() as i64);
        Qkv { q: cut(&qkv.q), k: cut(&qkv.k), v: cut(&qkv.v), scale: qkv.scale, start: rows.start }
    }

    /// The definition: softmax over the visible keys, one head at a time.
    fn plain(qkv: &Qkv, mask: &MaskRule) -> Tensor {
        let n = qkv.tokens();
        let heads: Vec<Tensor> = (0..qkv.q.size()[0])
            .map(|h| {
                let shared = h / qkv.group();
                let hidden =
                    mask.block(&(0..n), &(0..n), Device::Cpu).map(|visible| visible.logical_not());
                let scores = qkv.q.get(h).matmul(&qkv.k.get(shared).tr()) * qkv.scale;
                let scores = hidden.map_or(scores.shallow_clone(), |hidden| {
                    scores.masked_fill(&hidden, f64::NEG_INFINITY)
                });
                scores.softmax(-1, Kind::Float).matmul(&qkv.v.get(shared))
            })
            .collect();
        Tensor::stack(&heads, 0)
    }

    fn distance(a: &Tensor, b: &Tensor) -> f64 {
        (a - b).abs().max().double_value(&[])
    }

    #[test]
    fn blocks_and_groups_equal_the_definition() {
        tch::manual_seed(1);
        let qkv = random(1100, 0);
        for window in [None, Some(40), Some(700)] {
            let mask = causal(window, &[10..60, 500..530]);
            assert!(distance(&Fast.attend(SITE, &qkv, &mask), &plain(&qkv, &mask)) < 2e-6);
        }
        assert!(
            distance(&Fast.attend(SITE, &qkv, &MaskRule::all()), &plain(&qkv, &MaskRule::all()))
                < 2e-6
        );
    }

    #[test]
    fn continuing_token_by_token_equals_one_go() {
        tch::manual_seed(2);
        let (prefill, total) = (90, 700);
        let qkv = random(total as i64, 0);
        for window in [None, Some(1), Some(16), Some(300)] {
            let mask = causal(window, &[5..37]);
            let mut cached = Cached::default();
            let mut outputs = vec![cached.attend(SITE, &piece(&qkv, 0..prefill), &mask)];
            outputs.extend(
                (prefill..total).map(|row| cached.attend(SITE, &piece(&qkv, row..row + 1), &mask)),
            );
            assert!(
                distance(&Tensor::cat(&outputs, 1), &plain(&qkv, &mask)) < 2e-6,
                "window {window:?}"
            );
        }
    }

    /// Two runs part and part again, neither sees what the others take, and what all start from stays what it was.
    #[test]
    fn branches_do_not_see_each_other() {
        tch::manual_seed(5);
        let (prefill, total) = (90, 400);
        for window in [None, Some(1), Some(16), Some(60), Some(91), Some(300)] {
            let mask = causal(window, &[5..37, 60..88]);
            let whole = [random(total as i64, 0), random(total as i64, 0)];
            let start = piece(&whole[0], 0..prefill);
            // The second run has the first one's beginning.
            let own = |run: usize, rows: Range<usize>| piece(&whole[run], rows);
            let mut first = Cached::default();
            let _ = first.attend(SITE, &start, &mask);
            let kept = first.branch().unwrap();
            assert_eq!((kept.seen(), first.seen()), (prefill, prefill));
            let keys = window.map_or(prefill, |window| prefill.min(window - 1));
            assert_eq!(kept.bytes(), 4 * (2 * 2 * keys * 8) as u64, "window {window:?}");
            let before = kept.layers[0].buffer.as_ref().unwrap().copy();
            let mut runs = [first, kept.branch().unwrap(), kept.branch().unwrap()];
            let mut outputs = [vec![], vec![], vec![]];
            for at in (prefill..total).step_by(10) {
                for (run, of) in [0, 1, 1].into_iter().enumerate() {
                    outputs[run].push(runs[run].attend(SITE, &own(of, at..at + 10), &mask));
                }
            }
            let joined = |of: usize| {
                let join = |x: &Tensor, y: &Tensor| {
                    let rest = y.narrow(1, prefill as i64, (total - prefill) as i64);
                    Tensor::cat(&[x.narrow(1, 0, prefill as i64), rest], 1)
                };
                let [a, b] = [&whole[0], &whole[of]];
                Qkv {
                    q: join(&a.q, &b.q),
                    k: join(&a.k, &b.k),
                    v: join(&a.v, &b.v),
                    ..own(0, 0..1)
                }
            };
            for (of, found) in [0, 1, 1].into_iter().zip(&outputs) {
                let expected =
                    plain(&joined(of), &mask).narrow(1, prefill as i64, (total - prefill) as i64);
                let distance = distance(&Tensor::cat(found, 1), &expected);
                assert!(distance < 2e-6, "window {window:?}, run {of}: {distance}");
            }
            assert_eq!(kept.layers[0].buffer.as_ref().unwrap(), &before);
            assert_eq!(kept.seen(), prefill);
        }
    }

    #[test]
    #[should_panic(expected = "tokens follow those that are kept")]
    fn a_run_that_begins_again_is_no_continuation() {
        let mut cached = Cached::default();
        for _ in 0..2 {
            let _ = cached.attend(SITE, &random(3, 0), &causal(None, &[]));
        }
    }

    #[test]
    fn continuations_start_from_the_same_point() {
        tch::manual_seed(3);
        let (prefill, total) = (90, 130);
        let qkv = random(total as i64, 0);
        for window in [None, Some(1), Some(16)] {
            let mask = causal(window, &[5..37, 92..101]);
            let expected = plain(&qkv, &mask).narrow(1, prefill as i64, (total - prefill) as i64);
            let mut cached = Cached::default();
            for rows in [0..60, 60..prefill] {
                let _ = cached.attend(SITE, &piece(&qkv, rows), &mask);
            }
            let _ = cached.ahead().attend(SITE, &random(30, prefill), &mask);
            let found = cached.ahead().attend(SITE, &piece(&qkv, prefill..total), &mask);
            assert!(distance(&found, &expected) < 2e-6, "window {window:?}");
        }
        let nothing = Cached::default();
        let mask = causal(None, &[]);
        let found = nothing.ahead().attend(SITE, &qkv, &mask);
        assert!(distance(&found, &plain(&qkv, &mask)) < 2e-6);
    }

    #[test]
    fn runs_abreast_are_what_each_is_alone() {
        tch::manual_seed(4);
        let (prefill, total) = (90, 130);
        let qkv = random(prefill as i64, 0);
        let hidden = [vec![], vec![7..20, 30..31], vec![5..37]];
        let own: Vec<Qkv> =
            hidden.iter().map(|_| random((total - prefill) as i64, prefill)).collect();
        let together =
            |of: fn(&Qkv) -> &Tensor| Tensor::cat(&own.iter().map(of).collect::<Vec<_>>(), 1);
        let (q, k, v) = (together(|x| &x.q), together(|x| &x.k), together(|x| &x.v));
        let rows = Qkv { q, k, v, scale: 0.3, start: prefill };
        for window in [None, Some(16), Some(100)] {
            let mask = causal(window, &[5..37, 92..101]);
            let mut cached = Cached::default();
            let _ = cached.attend(SITE, &piece(&qkv, 0..prefill), &mask);
            let mut abreast = cached.abreast(&hidden);
            for _ in 0..2 {
                let found = abreast.attend(SITE, &rows, &mask).chunk(3, 1);
                for ((found, own), hidden) in found.iter().zip(&own).zip(&hidden) {
                    let alone =
                        cached.ahead().attend(SITE, own, &mask.clone().hiding(hidden.clone()));
                    assert!(distance(found, &alone) < 2e-6, "window {window:?}, hidden {hidden:?}");
                }
            }
        }
        let nothing = Cached::default();
        let mask = causal(None, &[]);
        let (long, hidden) = (random(1200, 0), [vec![]]);
        let found = nothing.abreast(&hidden).attend(SITE, &long, &mask);
        assert!(distance(&found, &plain(&long, &mask)) < 2e-6);
    }

    #[test]
    fn a_cache_is_refused_for_the_vision_tower() {
        let error = Cached::default().check(Tower::Vision).unwrap_err();
        assert!(error.to_string().contains("vision tower"), "{error}");
        assert!(Cached::default().check(Tower::Text).is_ok());
        assert!(Fast.check(Tower::Vision).is_ok());
    }

    #[test]
    fn a_window_bounds_what_is_kept() {
        let qkv = random(2000, 0);
        let mask = causal(Some(16), &[]);
        let mut cached = Cached::default();
        for row in 0..2000 {
            let _ = cached.attend(SITE, &piece(&qkv, row..row + 1), &mask);
        }
        assert!(cached.layers[0].capacity() <= 256);
    }
}
