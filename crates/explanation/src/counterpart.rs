//! The same words of the same answer, explained with another model: without an adapter, quantised, further trained.

use attention_relevancy::ndarray::{Array1, ArrayView1, s};
use attention_relevancy::{rank_correlation, top_overlap};
use relevancy_visualization::{
    Caption, Figure, GridMap, OverlayOptions, Panel, Scale, difference_figure,
};

use crate::figure::share_text;
use crate::record::ModelRecord;
use crate::text::{minus, number_text};
use crate::{Error, Explained, NOTHING_SPEAKS, Shown, TargetExplanation};

/// The part of a map whose cells count as its hottest.
const HOTTEST: f64 = 0.1;

/// The other model of a comparison.
#[derive(Debug, Clone)]
pub struct OtherModel {
    /// What it is.
    pub model: ModelRecord,
    /// The type of its weights.
    pub dtype: String,
    /// Seconds that explaining took.
    pub seconds: f64,
}

/// A target explained with another model: same prompt, same answer, set against the same tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Counterpart {
    /// The raw relevancy `[S]`.
    pub relevancy: Array1<f32>,
    /// Whether nothing speaks for the target, its own tokens included.
    pub is_empty: bool,
    /// Share of all pictures in the relevancy without the self terms; `None` where there is no relevancy.
    pub image_share: Option<f32>,
    /// The logarithm of the probability of each token, in nats.
    pub token_log_probabilities: Vec<f32>,
}

/// How far the maps of two models over one image agree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MapAgreement {
    /// Correlation of the ranks of all cells (Spearman).
    pub rank_correlation: f64,
    /// Cells among the hottest tenth of both over those among the hottest tenth of either.
    pub top_overlap: f64,
}

impl OtherModel {
    /// Its name for people.
    pub fn name(&self) -> String {
        let mut name = self.model.source.clone();
        for adapter in &self.model.adapters {
            name = format!("{name} with {}", adapter.source);
        }
        name
    }
}

impl Counterpart {
    /// The logarithm of the probability of all its tokens with the other model, one after the other.
    pub fn log_probability(&self) -> f32 {
        self.token_log_probabilities.iter().sum()
    }

    /// The probability with the other model, for people.
    pub fn probability_text(&self) -> String {
        number_text(self.log_probability().exp())
    }

    /// The log-probability of the target minus that with the other model, in nats, summed over its tokens.
    pub fn gain(&self, target: &TargetExplanation) -> f32 {
        target.log_probability() - self.log_probability()
    }

    /// The relevancy of the explanation minus that with the other model, signed, `[S]`.
    pub fn difference(&self, target: &TargetExplanation) -> Array1<f32> {
        &target.relevancy().relevancy() - &self.relevancy
    }

    /// How far both maps over image `image` agree; `None` past the last.
    pub fn agreement(&self, target: &TargetExplanation, image: usize) -> Option<MapAgreement> {
        let explanation = target.relevancy();
        let (positions, _) = explanation.layout().grids().nth(image)?;
        let cells = |row: ArrayView1<'_, f32>| row.slice_move(s![positions.clone()]).to_vec();
        let [own, other] = [cells(explanation.relevancy()), cells(self.relevancy.view())];
        Some(MapAgreement {
            rank_correlation: rank_correlation(&own, &other),
            top_overlap: top_overlap(&own, &other, HOTTEST),
        })
    }

    /// The probabilities with both models, for people.
    pub fn probabilities(&self, target: &TargetExplanation) -> String {
        let gain = minus(format!("{:+.3}", self.gain(target)));
        format!(
            "probability {} with this model, {} with the other ({gain} nats)",
            target.probability_text(),
            self.probability_text(),
        )
    }
}

/// The maps of both models over image `image` on one scale, and the difference in the diverging colours.
pub(crate) fn figure(
    explained: &Explained<'_>,
    (target, counterpart): (&TargetExplanation, &Counterpart),
    (other, image): (&OtherModel, usize),
    options: &OverlayOptions,
) -> Result<Figure, Error> {
    let difference = counterpart.difference(target);
    let rows = [target.relevancy().relevancy(), counterpart.relevancy.view(), difference.view()];
    let grids = rows.map(|row| explained.cells(image, row));
    let placement = explained.placement(image);
    let maps = grids.each_ref().map(|grid| [GridMap { grid: grid.view(), placement }]);
    let outlines = explained.outlines(image);
    let panel = |which: usize, label: String, detail: String| {
        let is_empty =
            [target.is_empty(), counterpart.is_empty, target.is_empty() && counterpart.is_empty];
        let (detail, maps): (String, &[GridMap<'_>]) =
            if is_empty[which] { (NOTHING_SPEAKS.to_owned(), &[]) } else { (detail, &maps[which]) };
        Panel::new(explained.picture(image), maps).outlined(outlines).labelled(label, detail)
    };
    let share =
        counterpart.image_share.map(|share| format!("{:.1} % in the pictures", 100.0 * share));
    let pair = [
        panel(0, explained.model.source.clone(), share_text(target, image)),
        panel(1, other.name(), share.unwrap_or_default()),
    ];
    let detail = counterpart.agreement(target, image).map(|agreement| {
        let MapAgreement { rank_correlation, top_overlap } = agreement;
        format!(
            "ranks correlate by {rank_correlation:.2}, hottest tenth in common {top_overlap:.2}"
        )
    });
    let difference =
        panel(2, "this model − the other".to_owned(), minus(detail.unwrap_or_default()));
    let caption = Caption::new(target.label()).subtitled(counterpart.probabilities(target));
    let options = options.clone().with_scale(Scale::common(&pair)?);
    Ok(difference_figure(&pair, &difference, &caption, &options)?)
}
