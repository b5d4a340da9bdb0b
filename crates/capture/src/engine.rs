//! What every engine offers.

use crate::{Attribution, Error, Goal, Rules, Score};
use attention_relevancy::Target;

/// Explains tokens of one sequence that a model was run over.
pub trait Engine {
    /// Logit and log-probability of the token that stands at each target's position, from the row before it.
    fn scores(&self, targets: &[Target]) -> Result<Vec<Score>, Error>;

    /// Explains each goal.
    fn explain(&self, goals: &[Goal], rules: &Rules) -> Result<Vec<Attribution>, Error>;

    /// Explains one goal.
    fn explain_one(&self, goal: &Goal, rules: &Rules) -> Result<Attribution, Error> {
        let mut attributions = self.explain(std::slice::from_ref(goal), rules)?;
        Ok(attributions.pop().expect("one goal, one attribution"))
    }
}
