//! What every engine offers.

use crate::{Attribution, Error, Goal, Objective, Score};
use attention_relevancy::{Target, Update};

/// Explains tokens of one sequence that a model was run over.
pub trait Engine {
    /// Logit and log-probability of the token that stands at each target's position, from the row before it.
    fn scores(&self, targets: &[Target]) -> Result<Vec<Score>, Error>;

    /// Explains each goal.
    fn explain(
        &self,
        goals: &[Goal],
        objective: Objective,
        update: Update,
    ) -> Result<Vec<Attribution>, Error>;

    /// Explains one goal.
    fn explain_one(
        &self,
        goal: &Goal,
        objective: Objective,
        update: Update,
    ) -> Result<Attribution, Error> {
        let mut attributions = self.explain(std::slice::from_ref(goal), objective, update)?;
        Ok(attributions.pop().expect("one goal, one attribution"))
    }
}
