//! Attention of a Gemma3 run, with its gradients, as relevancy layers.
