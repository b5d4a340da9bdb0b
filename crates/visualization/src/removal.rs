//! What is left of a score as cells of a picture are taken away.

/// What is left of a score as cells of a picture are taken away, by one way to take them away.
///
/// All lists but an empty one have one entry for each share in `fractions`. Numbers are finite; what is left may lie below 0 and
/// above 1, and is drawn from −0.5 to 1.5.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RemovalChart {
    /// The way to take cells away, for people: `knock-out`.
    pub title: String,
    /// What came out, a line of text: `SRG 0.62, above all 20 controls (p 0.048)`, or why there are no curves.
    pub summary: String,
    /// Shares of the cells that are gone, ascending, within 0 and 1. Empty: there are no curves, and `summary` says why.
    pub fractions: Vec<f64>,
    /// What is left at each of them, 1 with all cells and 0 without any, the most relevant cells gone first.
    pub most_first: Vec<f64>,
    /// The same, the least relevant cells gone first.
    pub least_first: Vec<f64>,
    /// The mean over orders that know nothing; may be empty.
    pub uniform: Vec<f64>,
    /// Lowest and highest of all controls, of both directions; may be empty.
    pub band: Vec<[f64; 2]>,
}

impl RemovalChart {
    /// What is wrong with it, for people; `None`: it can be drawn.
    pub(crate) fn problem(&self) -> Option<String> {
        let Self { fractions, most_first, least_first, uniform, band, .. } = self;
        let shares = fractions.len();
        let counts = [
            ("most_first", most_first.len(), false),
            ("least_first", least_first.len(), false),
            ("uniform", uniform.len(), true),
            ("band", band.len(), true),
        ];
        for (name, found, may_be_empty) in counts {
            if found != shares && !(may_be_empty && found == 0) {
                return Some(format!("{name} has {found} values for {shares} shares"));
            }
        }
        let values = [
            ("fractions", &fractions[..]),
            ("most_first", &most_first[..]),
            ("least_first", &least_first[..]),
            ("uniform", &uniform[..]),
            ("band", band.as_flattened()),
        ];
        for (name, values) in values {
            if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                return Some(format!("{name} holds {value}"));
            }
        }
        if let Some(share) = fractions.iter().find(|share| !(0.0..=1.0).contains(*share)) {
            return Some(format!("a share of {share} is not within 0 and 1"));
        }
        let mut neighbours = fractions.iter().zip(fractions.iter().skip(1));
        if let Some((share, next)) = neighbours.find(|(share, next)| share >= next) {
            return Some(format!("shares do not ascend: {share} comes before {next}"));
        }
        let crossed = band.iter().find(|[lowest, highest]| lowest > highest);
        crossed.map(|[lowest, highest]| format!("the band goes from {lowest} to {highest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> RemovalChart {
        RemovalChart {
            title: "knock-out".to_owned(),
            summary: "SRG 0.6".to_owned(),
            fractions: vec![0.0, 0.25, 1.0],
            most_first: vec![1.0, 0.1, 0.0],
            least_first: vec![1.0, 0.9, 0.0],
            uniform: vec![1.0, 0.6, 0.0],
            band: vec![[1.0, 1.0], [0.4, 0.8], [0.0, 0.0]],
        }
    }

    #[track_caller]
    fn assert_problem(spoil: impl Fn(&mut RemovalChart), expected: &str) {
        let mut spoilt = chart();
        spoil(&mut spoilt);
        assert_eq!(spoilt.problem().as_deref(), Some(expected));
    }

    #[test]
    fn what_may_be_missing_may_be_missing() {
        assert_eq!(chart().problem(), None);
        let (uniform, band) = (Vec::new(), Vec::new());
        assert_eq!(RemovalChart { uniform, band, ..chart() }.problem(), None);
        assert_eq!(RemovalChart::default().problem(), None);
    }

    #[test]
    fn lengths_that_do_not_agree_are_told() {
        assert_problem(|c| c.most_first.truncate(2), "most_first has 2 values for 3 shares");
        assert_problem(|c| c.least_first.clear(), "least_first has 0 values for 3 shares");
        assert_problem(|c| c.uniform.push(0.0), "uniform has 4 values for 3 shares");
        assert_problem(|c| c.band.truncate(2), "band has 2 values for 3 shares");
        assert_problem(|c| c.fractions.clear(), "most_first has 3 values for 0 shares");
    }

    #[test]
    fn numbers_that_cannot_be_drawn_are_told() {
        assert_problem(|c| c.most_first[1] = f64::NAN, "most_first holds NaN");
        assert_problem(|c| c.least_first[0] = f64::INFINITY, "least_first holds inf");
        assert_problem(|c| c.uniform[2] = f64::NEG_INFINITY, "uniform holds -inf");
        assert_problem(|c| c.band[1][1] = f64::NAN, "band holds NaN");
        assert_problem(|c| c.fractions[1] = f64::NAN, "fractions holds NaN");
        assert_problem(|c| c.fractions[2] = 1.5, "a share of 1.5 is not within 0 and 1");
        assert_problem(|c| c.fractions[2] = 0.25, "shares do not ascend: 0.25 comes before 0.25");
        assert_problem(|c| c.band[1] = [0.8, 0.4], "the band goes from 0.8 to 0.4");
    }
}
