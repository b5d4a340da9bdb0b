//! `AdamW` with clipped gradients, and how its rate goes up and down.

use tch::{Kind, Tensor};

use crate::recipe::Stage;

/// Decay of the mean of gradients, and of that of their squares.
const BETAS: [f64; 2] = [0.9, 0.98];
/// Added to the root of the mean square.
const EPSILON: f64 = 1e-8;
/// Share of a matrix that a step of rate one takes away.
const WEIGHT_DECAY: f64 = 0.01;
/// Largest norm that all gradients together may have.
const CLIP: f64 = 1.0;
/// The rate of the last step as a share of the highest.
const LAST: f64 = 0.02;

/// The memory of the optimizer (Loshchilov and Hutter 2019), one mean and one mean square per parameter.
#[derive(Debug)]
pub struct AdamW {
    /// Means of gradients.
    pub means: Vec<Tensor>,
    /// Means of their squares.
    pub squares: Vec<Tensor>,
    /// Steps made.
    pub steps: usize,
}

impl AdamW {
    /// Without memory, for these parameters.
    pub fn new(parameters: &[Tensor]) -> Self {
        let zeros = || parameters.iter().map(Tensor::zeros_like).collect();
        Self { means: zeros(), squares: zeros(), steps: 0 }
    }

    /// Changes the parameters in place. Returns the norm that the gradients had.
    pub fn step(&mut self, parameters: &mut [Tensor], gradients: &[Tensor], rate: f64) -> f64 {
        let _no_grad = tch::no_grad_guard();
        self.steps += 1;
        let norm = norm(gradients);
        let scale = if norm > CLIP { CLIP / norm } else { 1.0 };
        let [first, second] = BETAS;
        let unbias = |beta: f64| 1.0 - beta.powi(self.steps as i32);
        let (rate_now, root) = (rate / unbias(first), unbias(second).sqrt());
        for (index, parameter) in parameters.iter_mut().enumerate() {
            let gradient = &gradients[index] * scale;
            let (mean, square) = (&mut self.means[index], &mut self.squares[index]);
            let _ = mean.g_mul_scalar_(first).g_add_(&(&gradient * (1.0 - first)));
            let _ = square.g_mul_scalar_(second).g_add_(&(gradient.square() * (1.0 - second)));
            if 1 < parameter.dim() {
                let _ = parameter.g_mul_scalar_(1.0 - rate * WEIGHT_DECAY);
            }
            let change = &*mean / (square.sqrt() / root + EPSILON) * rate_now;
            let _ = parameter.g_sub_(&change);
        }
        norm
    }
}

/// Up in a line, down along half a cosine.
pub fn rate(stage: &Stage, step: usize) -> f64 {
    if step < stage.warm_up {
        return stage.rate * (step + 1) as f64 / stage.warm_up as f64;
    }
    let past = (step - stage.warm_up) as f64 / (stage.steps - stage.warm_up).max(1) as f64;
    let height = 0.5 * (1.0 + (std::f64::consts::PI * past.min(1.0)).cos());
    stage.rate * (LAST + (1.0 - LAST) * height)
}

fn norm(gradients: &[Tensor]) -> f64 {
    let square = |g: &Tensor| g.square().sum(Kind::Double).double_value(&[]);
    gradients.iter().map(square).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_and_falls() {
        let stage = Stage { steps: 100, pictures: 1, rate: 2.0, warm_up: 10, questions: 0 };
        assert!((rate(&stage, 0) - 0.2).abs() < 1e-12);
        assert!((rate(&stage, 10) - 2.0).abs() < 1e-12);
        assert!((rate(&stage, 55) - 1.02).abs() < 1e-9);
        assert!(rate(&stage, 99) < 0.05);
    }

    #[test]
    fn a_bowl_is_descended() {
        let mut parameters = [Tensor::from_slice(&[3f32, -2.0])];
        let mut optimizer = AdamW::new(&parameters);
        for _ in 0..300 {
            let gradient = &parameters[0] * 2.0;
            optimizer.step(&mut parameters, &[gradient], 0.05);
        }
        assert!(parameters[0].abs().max().double_value(&[]) < 0.05, "{:?}", parameters[0]);
    }

    #[test]
    fn the_first_step_has_the_length_of_the_rate_however_steep() {
        let mut parameters = [Tensor::from_slice(&[1f32])];
        let steep = Tensor::from_slice(&[1e6f32]);
        let norm = AdamW::new(&parameters).step(&mut parameters, &[steep], 0.1);
        assert!((norm - 1e6).abs() < 1.0);
        assert!((parameters[0].double_value(&[0]) - 0.9).abs() < 1e-5);
    }
}
