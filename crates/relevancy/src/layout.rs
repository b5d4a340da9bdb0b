//! Which tokens are text and which are cells of an image.

use std::ops::Range;
use std::sync::Arc;

use crate::{Error, ErrorKind};

/// The tokens of one picture, or of one crop of it, as a grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ImageGrid {
    /// Which picture it shows, counted from 0. Crops of one picture share it.
    pub image: usize,
    /// Rows of cells, top to bottom.
    pub rows: usize,
    /// Columns of cells, left to right. Tokens run along rows.
    pub columns: usize,
}

/// What the tokens of a segment stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SegmentKind {
    /// Text, special tokens included.
    Text,
    /// The cells of a grid.
    Image(ImageGrid),
}

/// Neighbouring tokens of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Segment {
    /// The tokens' positions.
    pub range: Range<usize>,
    /// What they stand for.
    pub kind: SegmentKind,
}

/// A partition of the S tokens of a sequence into text and image grids. Every explanation of an answer has it, so clones share it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TokenLayout {
    segments: Arc<[Segment]>,
}

impl TokenLayout {
    /// A layout of `tokens` tokens. Segments are not empty and follow each other from 0 to `tokens` without gap or overlap; a
    /// grid has as many cells as its segment has tokens.
    ///
    /// Fails with [`ErrorKind::EmptySegment`], [`ErrorKind::SegmentStart`], [`ErrorKind::GridSize`] or [`ErrorKind::LayoutEnd`].
    pub fn new(tokens: usize, segments: Vec<Segment>) -> Result<Self, Error> {
        let mut end = 0;
        for (index, segment) in segments.iter().enumerate() {
            check_segment(index, segment, end)?;
            end = segment.range.end;
        }
        if end != tokens {
            return Err(ErrorKind::LayoutEnd { expected: tokens, found: end }.into());
        }
        Ok(Self { segments: segments.into() })
    }

    /// A layout of `tokens` tokens with grids at the given ranges, in order; all else is text.
    ///
    /// Fails as [`TokenLayout::new`] does.
    ///
    /// ```
    /// use attention_relevancy::{ImageGrid, TokenLayout};
    ///
    /// let grid = ImageGrid { image: 0, rows: 16, columns: 16 };
    /// let layout = TokenLayout::from_images(300, [(5..261, grid)])?;
    /// assert_eq!(layout.segments().len(), 3); // text, image, text
    /// # Ok::<(), attention_relevancy::Error>(())
    /// ```
    pub fn from_images(
        tokens: usize,
        images: impl IntoIterator<Item = (Range<usize>, ImageGrid)>,
    ) -> Result<Self, Error> {
        let mut segments = Vec::new();
        let mut end = 0;
        for (range, grid) in images {
            push_text(&mut segments, end..range.start);
            end = range.end;
            segments.push(Segment { range, kind: SegmentKind::Image(grid) });
        }
        push_text(&mut segments, end..tokens);
        Self::new(tokens, segments)
    }

    /// Tokens S in the sequence.
    pub fn tokens(&self) -> usize {
        self.segments.last().map_or(0, |segment| segment.range.end)
    }

    /// The segments, in order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The image grids and their positions, in order.
    pub fn grids(&self) -> impl Iterator<Item = (Range<usize>, ImageGrid)> + '_ {
        self.segments.iter().filter_map(|segment| match segment.kind {
            SegmentKind::Image(grid) => Some((segment.range.clone(), grid)),
            SegmentKind::Text => None,
        })
    }

    /// The positions of text tokens, in order.
    pub fn text_positions(&self) -> impl Iterator<Item = usize> + '_ {
        let text = self.segments.iter().filter(|segment| segment.kind == SegmentKind::Text);
        text.flat_map(|segment| segment.range.clone())
    }
}

fn push_text(segments: &mut Vec<Segment>, range: Range<usize>) {
    if !range.is_empty() {
        segments.push(Segment { range, kind: SegmentKind::Text });
    }
}

/// Checks one segment, given the end of the one before.
fn check_segment(index: usize, segment: &Segment, end: usize) -> Result<(), Error> {
    let range = &segment.range;
    if range.is_empty() {
        return Err(ErrorKind::EmptySegment { index }.into());
    }
    if range.start != end {
        return Err(ErrorKind::SegmentStart { index, expected: end, found: range.start }.into());
    }
    match segment.kind {
        SegmentKind::Image(ImageGrid { rows, columns, .. })
            if rows.checked_mul(columns) != Some(range.len()) =>
        {
            Err(ErrorKind::GridSize { index, tokens: range.len(), rows, columns }.into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(rows: usize, columns: usize) -> ImageGrid {
        ImageGrid { image: 0, rows, columns }
    }

    fn image(range: Range<usize>, rows: usize, columns: usize) -> Segment {
        Segment { range, kind: SegmentKind::Image(grid(rows, columns)) }
    }

    fn text(range: Range<usize>) -> Segment {
        Segment { range, kind: SegmentKind::Text }
    }

    #[test]
    fn fills_text_around_images() {
        let layout =
            TokenLayout::from_images(10, [(0..4, grid(2, 2)), (6..8, grid(1, 2))]).unwrap();
        let expected = vec![image(0..4, 2, 2), text(4..6), image(6..8, 1, 2), text(8..10)];
        assert_eq!(layout, TokenLayout::new(10, expected).unwrap());
        assert_eq!(layout.tokens(), 10);
        assert_eq!(layout.text_positions().collect::<Vec<_>>(), [4, 5, 8, 9]);
        assert_eq!(layout.grids().map(|(range, _)| range).collect::<Vec<_>>(), [0..4, 6..8]);
    }

    #[test]
    fn refuses_what_is_no_partition() {
        let new = |tokens, segments| TokenLayout::new(tokens, segments).unwrap_err();
        assert_eq!(new(3, vec![text(0..2)]), ErrorKind::LayoutEnd { expected: 3, found: 2 }.into());
        assert_eq!(new(1, vec![text(0..2)]), ErrorKind::LayoutEnd { expected: 1, found: 2 }.into());
        assert_eq!(
            new(2, vec![text(0..0), text(0..2)]),
            ErrorKind::EmptySegment { index: 0 }.into()
        );
        let gap = ErrorKind::SegmentStart { index: 1, expected: 1, found: 2 }.into();
        assert_eq!(new(3, vec![text(0..1), text(2..3)]), gap);
        let overlap = ErrorKind::SegmentStart { index: 1, expected: 2, found: 1 }.into();
        assert_eq!(new(3, vec![text(0..2), text(1..3)]), overlap);
        let size = ErrorKind::GridSize { index: 0, tokens: 4, rows: 2, columns: 3 }.into();
        assert_eq!(new(4, vec![image(0..4, 2, 3)]), size);
        let vast = ErrorKind::GridSize { index: 0, tokens: 4, rows: usize::MAX, columns: 4 }.into();
        assert_eq!(new(4, vec![image(0..4, usize::MAX, 4)]), vast);
    }

    #[test]
    fn refuses_images_out_of_order_or_past_the_end() {
        let images = |tokens, images: Vec<_>| TokenLayout::from_images(tokens, images).unwrap_err();
        let order = images(10, vec![(6..8, grid(1, 2)), (0..4, grid(2, 2))]);
        assert_eq!(order, ErrorKind::SegmentStart { index: 2, expected: 8, found: 0 }.into());
        assert_eq!(
            images(3, vec![(0..4, grid(2, 2))]),
            ErrorKind::LayoutEnd { expected: 3, found: 4 }.into()
        );
    }
}
