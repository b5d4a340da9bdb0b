//! The relevancy of a model of two layers whose attention and gradients fit on a page.
//!
//! The tokens are a word, a picture of 2×2 cells, two words of a question and the answer. Every token carries one number x. A layer
//! adds what attention brings, `x ← x + E_h[A_h]·x`, and the logit is x at the row that predicts the answer. Then the gradient of
//! the logit with respect to attention is exact in one line: `∂z/∂A_h[i, j] = g_i·x_j / H`, where g is the gradient at the layer's output.
#![expect(clippy::print_stdout, reason = "an example prints what it found")]

use attention_relevancy::ndarray::{Array1, Array2, Array3, Axis, array};
use attention_relevancy::{
    Error, Explanation, ImageGrid, Propagation, RetainedLayer, Scale, Target, TokenLayout, Update,
    check_attention,
};

const TOKENS: [&str; 8] = ["look:", "cell", "cell", "cell", "cell", "what", "there?", "opacity"];

fn main() -> Result<(), Error> {
    let target = Target::new(7, 42)?; // "opacity", predicted at row 6
    let layers = [[0.3, 2.0], [1.0, 0.1]].map(attention);
    let gradients = gradients(&layers, target.logit_row());

    let mut propagation = Propagation::explaining(TOKENS.len(), &target)?;
    for (attention, gradient) in layers.iter().zip(&gradients).rev() {
        check_attention(attention.view(), 1e-5)?;
        let mut layer = RetainedLayer::gradient_weighted(attention.view(), gradient.view())?;
        propagation.step(Update::Additive, &mut layer)?;
    }

    let layout = TokenLayout::from_images(
        TOKENS.len(),
        [(1..5, ImageGrid { image: 0, rows: 2, columns: 2 })],
    )?;
    print(&Explanation::new(vec![target], propagation.finish(), layout)?)
}

/// Causal attention `[H, S, S]`: head h weighs token j by its number to the power `focus[h]`.
fn attention(focus: [f32; 2]) -> Array3<f32> {
    let (tokens, numbers) = (TOKENS.len(), numbers());
    let mut attention = Array3::from_shape_fn((2, tokens, tokens), |(h, i, j)| {
        if j <= i { numbers[j].abs().powf(focus[h]) } else { 0.0 }
    });
    attention.rows_mut().into_iter().for_each(|mut row| row /= row.sum());
    attention
}

/// What the tokens carry: the third cell says much, the last speaks against it.
fn numbers() -> Array1<f32> {
    array![0.1, 0.2, 0.3, 1.5, -0.4, 0.3, 0.2, 0.2]
}

/// The gradient of the logit at `row` with respect to every layer's attention, `[H, S, S]` each.
fn gradients(layers: &[Array3<f32>], row: usize) -> Vec<Array3<f32>> {
    let mean = |attention: &Array3<f32>| attention.sum_axis(Axis(0)) / attention.dim().0 as f32;
    let mut inputs = vec![numbers()];
    for attention in layers {
        let x = inputs[inputs.len() - 1].clone();
        inputs.push(&x + &mean(attention).dot(&x));
    }
    let mut g = Array1::zeros(TOKENS.len());
    g[row] = 1.0;
    let mut gradients = Vec::new();
    for (attention, x) in layers.iter().zip(&inputs).rev() {
        let heads = attention.dim().0 as f32;
        gradients.push(Array3::from_shape_fn(attention.raw_dim(), |(_, i, j)| g[i] * x[j] / heads));
        g = &g + &g.dot(&mean(attention));
    }
    gradients.reverse();
    gradients
}

fn print(explanation: &Explanation) -> Result<(), Error> {
    let own = explanation.self_positions();
    println!("Relevancy for {:?}:", TOKENS[explanation.targets()[0].position()]);
    for (position, relevancy) in explanation.text() {
        let note = if own.contains(&position) { "  self term included" } else { "" };
        println!("  {position} {:8} {relevancy:.4}{note}", TOKENS[position]);
    }
    let grid: Array2<f32> = explanation.image_grid(0).unwrap_or_default();
    println!("  image, raw\n{grid:.4}");
    println!("  image, 0 to 1\n{:.2}", Scale::min_max(grid.iter().copied())?.apply(grid.view()));
    if let Some(shares) = explanation.shares() {
        println!("Without the self term {:.0} % is in the image.", 100.0 * shares.image());
    }
    Ok(())
}
