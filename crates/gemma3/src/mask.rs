//! Which keys a query may see, as a rule and never as an S×S tensor.

use crate::{Fork, Place, SequenceLayout};
use std::ops::Range;
use tch::{Device, Kind, Tensor};

/// Visibility of keys: `window AND (causal OR same bidirectional span)`, nothing between the branches of a fork, no hidden span
/// from behind it, and nothing that is barred.
///
/// Queries and keys are named by their index in the sequence; a window counts positions, which differ where it forks.
///
/// Source: transformers 5 (`masking_utils.py`, `Gemma3Model`): a query sees a key when it is not more than `window − 1` tokens
/// back and either not in the future or in the same image as the query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskRule {
    causal: bool,
    window: Option<usize>,
    /// Inside an image every query sees every key; the second branch of a fork does not see the first.
    layout: SequenceLayout,
    hidden: Vec<Range<usize>>,
    barred: Vec<Barred>,
}

/// Some queries that do not see some keys, which others may see: a way from the keys to what is computed later is closed, and others stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barred {
    /// What is not seen.
    pub keys: Range<usize>,
    /// By whom.
    pub queries: Range<usize>,
}

impl MaskRule {
    /// Everything is visible, as in the vision tower.
    pub fn all() -> Self {
        let layout = SequenceLayout::unforked(Vec::new());
        Self { causal: false, window: None, layout, hidden: Vec::new(), barred: Vec::new() }
    }

    /// A query sees itself and what comes before it, at most `window` keys back with itself among them (`None`: all), the whole of its
    /// own image, and nothing of another branch.
    pub fn causal(window: Option<usize>, layout: &SequenceLayout) -> Self {
        let (hidden, barred) = (Vec::new(), Vec::new());
        Self { causal: true, window, layout: layout.clone(), hidden, barred }
    }

    /// The same rule with the keys of these spans hidden from every query behind them (attention knock-out, Geva et al. 2023, over all
    /// heads): what hides a picture from the text after it and changes no position.
    #[must_use]
    pub fn hiding(self, hidden: Vec<Range<usize>>) -> Self {
        Self { hidden, ..self }
    }

    /// The same rule with some keys hidden from some queries alone.
    #[must_use]
    pub fn barring(self, barred: Vec<Barred>) -> Self {
        Self { barred, ..self }
    }

    /// How many keys back a query sees, itself included; `None`: all.
    pub fn window(&self) -> Option<usize> {
        self.window
    }

    /// Images and fork of the sequence that the rule is for.
    pub fn layout(&self) -> &SequenceLayout {
        &self.layout
    }

    /// The place of the token at `index`.
    pub fn place(&self, index: usize) -> Place {
        self.layout.place(index)
    }

    /// Whether `query` may see `key`: the definition that everything else here must agree with.
    pub fn visible(&self, query: usize, key: usize) -> bool {
        let position = |index| self.layout.position(index);
        let in_window = self.window.is_none_or(|window| position(query) < position(key) + window);
        let in_past = !self.causal || key <= query;
        let together = self.span_of(query).is_some_and(|span| self.span_of(key) == Some(span));
        let apart = self.layout.apart(query, key);
        let hidden = self.hidden.iter().any(|span| span.end <= query && span.contains(&key));
        let is_barred = |it: &Barred| it.queries.contains(&query) && it.keys.contains(&key);
        let barred = self.barred.iter().any(is_barred);
        in_window && (in_past || together) && !apart && !hidden && !barred
    }

    /// A range that holds every key of `0..tokens` that a query of `queries` (not empty) may see: the smallest one where nothing is
    /// hidden.
    pub fn keys(&self, queries: &Range<usize>, tokens: usize) -> Range<usize> {
        let start = self.window.map_or(0, |window| self.first_key(queries, window));
        let end = if self.causal {
            let last = queries.end - 1;
            self.span_of(last).map_or(queries.end, |span| self.images()[span].end)
        } else {
            tokens
        };
        start..end.min(tokens)
    }

    /// Every key of `0..tokens` that `query` sees and no other, as runs in order. There is more than one where the other branch or a
    /// hidden span lies between.
    pub fn seen(&self, query: usize, tokens: usize) -> Vec<Range<usize>> {
        let other = self.layout.fork().filter(|fork| fork.second <= query);
        let other = other.map(|fork| fork.at..fork.second);
        let hidden = self.hidden.iter().filter(|span| span.end <= query).cloned();
        let barred = self.barred.iter().filter(|it| it.queries.contains(&query));
        let barred = barred.map(|it| it.keys.clone());
        let mut gaps: Vec<Range<usize>> = hidden.chain(other).chain(barred).collect();
        gaps.sort_unstable_by_key(|gap| gap.start);
        let cover = self.keys(&(query..query + 1), tokens);
        let mut start = cover.start;
        let mut runs = Vec::new();
        for gap in gaps {
            runs.push(start..gap.start.min(cover.end));
            start = start.max(gap.end);
        }
        runs.push(start..cover.end);
        runs.retain(|run| run.start < run.end);
        runs
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
        let indices = |range: &Range<usize>| {
            Tensor::arange_start(range.start as i64, range.end as i64, (Kind::Int64, device))
        };
        let q = indices(queries).unsqueeze(1); // [b, 1]
        let k = indices(keys).unsqueeze(0); // [1, n]
        let mut block = if self.causal {
            k.le_tensor(&q)
        } else {
            k.ge(0).expand([queries.len() as i64, -1], false)
        };
        for span in
            self.images().iter().filter(|span| overlap(span, queries) && overlap(span, keys))
        {
            block = block.logical_or(&within(&q, span).logical_and(&within(&k, span)));
        }
        if let Some(Fork { at, second }) = self.layout.fork() {
            let apart = q.ge(second as i64).logical_and(&within(&k, &(at..second)));
            block = block.logical_and(&apart.logical_not());
        }
        let hiding = self.hidden.iter().filter(|span| hides(span, queries, keys));
        let (from_all, from_some): (Vec<_>, Vec<_>) =
            hiding.partition(|span| span.end <= queries.start);
        // Hidden cells may be many: those that no query sees are put together first.
        if !from_all.is_empty() {
            let mut seen = vec![true; keys.len()];
            for span in from_all {
                let inside = |place: usize| place.clamp(keys.start, keys.end) - keys.start;
                seen[inside(span.start)..inside(span.end)].fill(false);
            }
            block = block.logical_and(&Tensor::from_slice(&seen).unsqueeze(0).to_device(device));
        }
        for span in from_some {
            let unseen = q.ge(span.end as i64).logical_and(&within(&k, span));
            block = block.logical_and(&unseen.logical_not());
        }
        for Barred { keys: unseen, queries: who } in &self.barred {
            if overlap(who, queries) && overlap(unseen, keys) {
                let unseen = within(&q, who).logical_and(&within(&k, unseen));
                block = block.logical_and(&unseen.logical_not());
            }
        }
        if let Some(window) = self.window {
            let positions = |range: &Range<usize>| {
                self.place(range.start).positions(range.len(), (Kind::Int64, device))
            };
            let (q, k) = (positions(queries).unsqueeze(1), positions(keys).unsqueeze(0));
            block = block.logical_and(&(k + window as i64).gt_tensor(&q));
        }
        Some(block)
    }

    /// The first key in the window of any of the queries. Positions rise within a branch, so it is that of the first query or of the
    /// second branch's first.
    fn first_key(&self, queries: &Range<usize>, window: usize) -> usize {
        let Some(fork) = self.layout.fork().filter(|fork| fork.second < queries.end) else {
            return (queries.start + 1).saturating_sub(window);
        };
        let query = fork.second.max(queries.start);
        let first = (fork.position(query) + 1).saturating_sub(window); // a position
        let of_branch = if first < fork.at { first } else { fork.second + (first - fork.at) };
        let of_first = (queries.start + 1).saturating_sub(window);
        if queries.start < fork.second { of_branch.min(of_first) } else { of_branch }
    }

    fn sees_all(&self, queries: &Range<usize>, keys: &Range<usize>) -> bool {
        if self.layout.fork().is_some_and(|fork| fork.second < queries.end) {
            return false; // a query of the second branch: indices say nothing of what it sees
        }
        let bars = |it: &Barred| overlap(&it.queries, queries) && overlap(&it.keys, keys);
        if self.hidden.iter().any(|span| hides(span, queries, keys)) || self.barred.iter().any(bars)
        {
            return false;
        }
        let within_window = self.window.is_none_or(|window| queries.end - 1 < keys.start + window);
        let past_only = !self.causal || keys.end <= queries.start + 1;
        let one_span = self.span_of(queries.start).map(|span| &self.images()[span]);
        let together = one_span.is_some_and(|span| queries.end <= span.end && keys.end <= span.end);
        within_window && (past_only || together)
    }

    fn images(&self) -> &[Range<usize>] {
        self.layout.images()
    }

    fn span_of(&self, position: usize) -> Option<usize> {
        let index = self.images().partition_point(|span| span.end <= position);
        self.images().get(index).filter(|span| span.start <= position).map(|_| index)
    }
}

fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

/// Whether some of the queries stand behind a hidden span of which some of the keys are.
fn hides(span: &Range<usize>, queries: &Range<usize>, keys: &Range<usize>) -> bool {
    span.end < queries.end && overlap(span, keys)
}

fn within(positions: &Tensor, span: &Range<usize>) -> Tensor {
    positions.ge(span.start as i64).logical_and(&positions.lt(span.end as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(images: &[Range<usize>], fork: Option<(usize, usize)>) -> SequenceLayout {
        let plain = SequenceLayout::unforked(images.to_vec());
        match fork {
            Some((at, second)) => plain.forked(Fork { at, second }),
            None => plain,
        }
    }

    fn rules() -> Vec<MaskRule> {
        let images = [3..7, 9..12];
        let mut rules = vec![MaskRule::all()];
        for window in [None, Some(1), Some(2), Some(5), Some(100)] {
            let rule =
                |images: &[Range<usize>], fork| MaskRule::causal(window, &layout(images, fork));
            rules.push(rule(&[], None));
            rules.push(rule(&[], Some((4, 9))));
            rules.push(rule(&[], Some((4, 5))));
            rules.push(rule(&images, None));
            rules.push(rule(&images, Some((12, 13))));
            rules.push(rule(&images, None).hiding(images.to_vec()));
            rules.push(rule(&images, Some((12, 13))).hiding(vec![3..7]));
            let barred = |keys, queries| Barred { keys, queries };
            rules.push(
                rule(&images, None).barring(vec![barred(3..7, 8..13), barred(4..10, 13..20)]),
            );
            rules.push(rule(&[], None).hiding(vec![1..2]).barring(vec![barred(0..3, 5..9)]));
        }
        rules
    }

    #[test]
    fn a_window_of_w_sees_w_keys() {
        let rule = MaskRule::causal(Some(1024), &layout(&[], None));
        assert_eq!(rule.keys(&(2000..2001), 4000), 977..2001);
        assert!(rule.visible(2000, 977));
        assert!(!rule.visible(2000, 976));
    }

    #[test]
    fn an_image_sees_itself_and_the_past_but_no_other_image_ahead() {
        let rule = MaskRule::causal(None, &layout(&[3..7, 9..12], None));
        assert!(rule.visible(3, 6));
        assert!(!rule.visible(3, 7));
        assert!(!rule.visible(3, 9));
        assert!(rule.visible(9, 11));
        assert!(rule.visible(9, 4));
    }

    #[test]
    fn who_is_barred_does_not_see_what_others_see() {
        let barred = Barred { keys: 3..7, queries: 8..10 };
        let rule = MaskRule::causal(None, &layout(&[3..7], None)).barring(vec![barred]);
        let seen = |query| (0..12).filter(|&key| rule.visible(query, key)).collect::<Vec<_>>();
        assert_eq!(seen(7), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(seen(8), [0, 1, 2, 7, 8]);
        assert_eq!(seen(10), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    }

    #[test]
    fn a_hidden_image_sees_itself_and_nothing_behind_it_sees_it() {
        let rule = MaskRule::causal(None, &layout(&[3..7, 9..12], None)).hiding(vec![3..7]);
        let seen = |query| (0..14).filter(|&key| rule.visible(query, key)).collect::<Vec<_>>();
        assert_eq!(seen(3), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(seen(7), [0, 1, 2, 7]);
        assert_eq!(seen(9), [0, 1, 2, 7, 8, 9, 10, 11]);
        assert_eq!(seen(13), [0, 1, 2, 7, 8, 9, 10, 11, 12, 13]);
    }

    #[test]
    fn branches_see_the_prefix_and_themselves_and_windows_count_positions() {
        let rule = MaskRule::causal(Some(3), &layout(&[], Some((4, 9))));
        let seen = |query| (0..14).filter(|&key| rule.visible(query, key)).collect::<Vec<_>>();
        assert_eq!(seen(5), [3, 4, 5]);
        assert_eq!(seen(9), [2, 3, 9]);
        assert_eq!(seen(10), [3, 9, 10]);
        assert_eq!(seen(12), [10, 11, 12]);
    }

    #[test]
    fn what_a_query_sees_is_what_the_definition_says() {
        for rule in rules() {
            for (query, tokens) in (0..14).flat_map(|query| [(query, query + 1), (query, 14)]) {
                let found: Vec<usize> = rule.seen(query, tokens).into_iter().flatten().collect();
                let expected: Vec<usize> =
                    (0..tokens).filter(|&key| rule.visible(query, key)).collect();
                assert_eq!(found, expected, "{rule:?} {query} {tokens}");
            }
        }
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
