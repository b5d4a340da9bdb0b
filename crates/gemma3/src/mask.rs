//! Which keys a query may see, as a rule and never as an S×S tensor.

use std::ops::Range;
use tch::{Device, Kind, Tensor};

/// Visibility of keys: `window AND (causal OR same bidirectional span)`.
///
/// Source: transformers 5 (`masking_utils.py`, `Gemma3Model`): a query sees a key when it is not more than `window − 1` tokens
/// back and either not in the future or in the same image as the query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaskRule {
    /// Whether a query sees only itself and what comes before it.
    pub causal: bool,
    /// How many keys back a query sees, itself included; `None`: all.
    pub window: Option<usize>,
    /// Spans, in order and disjoint, inside which every query sees every key: the images.
    pub bidirectional: Vec<Range<usize>>,
}

impl MaskRule {
    /// Everything is visible, as in the vision tower.
    pub fn all() -> Self {
        Self::default()
    }

    /// Whether `query` may see `key`: the definition that everything else here must agree with.
    pub fn visible(&self, query: usize, key: usize) -> bool {
        let in_window = self.window.is_none_or(|window| query < key + window);
        let in_past = !self.causal || key <= query;
        let together = self.span_of(query).is_some_and(|span| self.span_of(key) == Some(span));
        in_window && (in_past || together)
    }

    /// The smallest range that holds every key of `0..tokens` that a query of `queries` (not empty) may see.
    pub fn keys(&self, queries: &Range<usize>, tokens: usize) -> Range<usize> {
        let start = self.window.map_or(0, |window| (queries.start + 1).saturating_sub(window));
        let end = if self.causal {
            let last = queries.end - 1;
            self.span_of(last).map_or(queries.end, |span| self.bidirectional[span].end)
        } else {
            tokens
        };
        start..end.min(tokens)
    }

    /// The block of the mask for some queries and keys: true where visible, bool `[queries, keys]`; `None` when all is.
    pub fn block(
        &self,
        queries: &Range<usize>,
        keys: &Range<usize>,
        device: Device,
    ) -> Option<Tensor> {
        if self.sees_all(queries, keys) {
            return None;
        }
        let positions = |range: &Range<usize>| {
            Tensor::arange_start(range.start as i64, range.end as i64, (Kind::Int64, device))
        };
        let q = positions(queries).unsqueeze(1); // [b, 1]
        let k = positions(keys).unsqueeze(0); // [1, n]
        let mut block = if self.causal {
            k.le_tensor(&q)
        } else {
            k.ge(0).expand([queries.len() as i64, -1], false)
        };
        for span in
            self.bidirectional.iter().filter(|span| overlap(span, queries) && overlap(span, keys))
        {
            block = block.logical_or(&within(&q, span).logical_and(&within(&k, span)));
        }
        if let Some(window) = self.window {
            block = block.logical_and(&(k + window as i64).gt_tensor(&q));
        }
        Some(block)
    }

    fn sees_all(&self, queries: &Range<usize>, keys: &Range<usize>) -> bool {
        let within_window = self.window.is_none_or(|window| queries.end - 1 < keys.start + window);
        let past_only = !self.causal || keys.end <= queries.start + 1;
        let one_span = self.span_of(queries.start).map(|span| &self.bidirectional[span]);
        let together = one_span.is_some_and(|span| queries.end <= span.end && keys.end <= span.end);
        within_window && (past_only || together)
    }

    fn span_of(&self, position: usize) -> Option<usize> {
        let index = self.bidirectional.partition_point(|span| span.end <= position);
        self.bidirectional.get(index).filter(|span| span.start <= position).map(|_| index)
    }
}

fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

fn within(positions: &Tensor, span: &Range<usize>) -> Tensor {
    positions.ge(span.start as i64).logical_and(&positions.lt(span.end as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Vec<MaskRule> {
        let images = vec![3..7, 9..12];
        let mut rules = vec![MaskRule::all()];
        for window in [None, Some(1), Some(2), Some(5), Some(100)] {
            rules.push(MaskRule { causal: true, window, bidirectional: vec![] });
            rules.push(MaskRule { causal: true, window, bidirectional: images.clone() });
        }
        rules
    }

    #[test]
    fn a_window_of_w_sees_w_keys() {
        let rule = MaskRule { causal: true, window: Some(1024), bidirectional: vec![] };
        assert_eq!(rule.keys(&(2000..2001), 4000), 977..2001);
        assert!(rule.visible(2000, 977));
        assert!(!rule.visible(2000, 976));
    }

    #[test]
    fn an_image_sees_itself_and_the_past_but_no_other_image_ahead() {
        let rule = MaskRule { causal: true, window: None, bidirectional: vec![3..7, 9..12] };
        assert!(rule.visible(3, 6));
        assert!(!rule.visible(3, 7));
        assert!(!rule.visible(3, 9));
        assert!(rule.visible(9, 11));
        assert!(rule.visible(9, 4));
    }

    #[test]
    fn a_block_agrees_with_the_definition() {
        const TOKENS: usize = 14;
        for rule in rules() {
            for start in 0..TOKENS {
                for end in start + 1..=TOKENS {
                    let queries = start..end;
                    let keys = rule.keys(&queries, TOKENS);
                    let block = rule.block(&queries, &keys, Device::Cpu);
                    for query in queries.clone() {
                        for key in 0..TOKENS {
                            let shown = keys.contains(&key)
                                && block.as_ref().is_none_or(|block| {
                                    block.int64_value(&[
                                        (query - start) as i64,
                                        (key - keys.start) as i64,
                                    ]) == 1
                                });
                            assert_eq!(
                                shown,
                                rule.visible(query, key),
                                "{rule:?} {queries:?} {query} {key}"
                            );
                        }
                    }
                }
            }
        }
    }
}
