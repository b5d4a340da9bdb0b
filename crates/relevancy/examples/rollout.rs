//! Attention rollout from plain arrays, and how it looks by depth. It needs attention only, no gradient.
#![expect(clippy::print_stdout, reason = "an example prints what it found")]

use attention_relevancy::ndarray::{Array3, array};
use attention_relevancy::{
    Error, Propagation, RetainedLayer, Update, raw_attention_row, rollout_row,
};

fn main() -> Result<(), Error> {
    // Four tokens, one head. Layer 1 moves token 0 into token 1, layer 2 reads token 1: token 0 is used, but not looked at.
    let first: Array3<f32> = array![[
        [1.0, 0.0, 0.0, 0.0],
        [0.9, 0.1, 0.0, 0.0],
        [0.3, 0.3, 0.4, 0.0],
        [0.2, 0.2, 0.3, 0.3],
    ]];
    let last: Array3<f32> = array![[
        [1.0, 0.0, 0.0, 0.0],
        [0.5, 0.5, 0.0, 0.0],
        [0.1, 0.8, 0.1, 0.0],
        [0.0, 0.9, 0.0, 0.1],
    ]];
    let row = 3;
    println!("raw attention, last layer  {:.3}", raw_attention_row(last.view(), row)?);
    println!("rollout                    {:.3}", rollout_row(&[first.view(), last.view()], row)?);

    println!("\nThe same, layer by layer:");
    let mut propagation = Propagation::unit(4, row)?;
    for (name, attention) in [("last", &last), ("first", &first)] {
        let mut layer = RetainedLayer::attention(attention.view())?;
        propagation.step(Update::Stochastic, &mut layer)?;
        println!("  at the input of the {name:5} layer  {:.3}", propagation.row());
    }
    Ok(())
}
