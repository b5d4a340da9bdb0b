//! One binary for all integration tests: libtorch is linked and loaded once.
#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

mod adapters; // adapters against PEFT, in every spelling, on quantised weights, and damaged ones
mod audit; // one case of an audit, against each change made by hand
mod backward; // the backward rules, against a decoder with its graph cut, and what they conserve
mod beginning; // the beginning of a prompt, kept for further questions about its pictures
mod bfloat16; // the default path: methods and removed tokens in bfloat16 against float32
mod certificate; // certificates of maps, against whole runs without the cells
mod compared; // methods beside the relevancy, its heads and layers, the public Python program
mod damage; // checkpoints that cannot be loaded
mod detached; // the reference of the backward rules: Gemma3 and SigLIP with their graph cut
mod diagnose; // what a checkpoint must pass, and spoilt ones do not
mod engines; // the streaming engine against the retained one
mod explainer; // the facade: from pictures and a prompt to explanations
mod faults; // bad input at the facade: a clear error, no panic, nothing half-written
mod gguf; // checkpoints as GGUF files
mod methods; // every method of comparison: both engines, and PyTorch
mod model; // the model against transformers: pixels, features, logits, greedy answers
mod occlusion; // cells of pictures taken away, against whole runs without them
mod patches; // from the tokens of a picture to its patches and pixels, against one graph
mod path; // points on the way from the mean cell to the picture
mod phrases; // one phrase against another: two branches behind one prefix
mod real; // real trained weights, against transformers
mod relevancy; // the retained engine against autograd in PyTorch, and the mistakes that must not pass
mod reliance; // what pictures add to an answer
mod service; // many askers, one model
mod sinks; // attention sinks, found and taken out of the relevancy
mod support; // what these share
mod targets; // every way of asking
mod trace; // ways from the picture to the answer through a thinking trace
