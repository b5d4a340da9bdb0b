"""Attention of a small random Llama, the gradient of a logit with respect to it, and rows of relevancy and rollout by their definitions: `FILE.npz`.

Runs in a Python with torch and transformers, without the package that it is the reference of.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM


def main() -> None:
    torch.manual_seed(0)
    shape = {"vocab_size": 97, "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 6}
    model = LlamaForCausalLM(LlamaConfig(**shape, num_key_value_heads=2, attn_implementation="eager", initializer_range=0.3)).eval()
    ids = torch.randint(0, 97, (1, 29))
    out = model(input_ids=ids, output_attentions=True)
    row = 27
    gradients = torch.autograd.grad(out.logits[0, row].max(), out.attentions)
    relevancy, rollout = torch.eye(29), torch.eye(29)
    for attention, gradient in zip(out.attentions, gradients):
        bar = (gradient[0] * attention[0]).clamp(min=0).mean(dim=0)
        relevancy = relevancy + bar @ relevancy
        rollout = (attention[0].mean(dim=0) + torch.eye(29)) / 2 @ rollout
    np.savez(
        sys.argv[1],
        attentions=torch.cat(out.attentions).detach().numpy(),
        gradients=torch.cat(gradients).numpy(),
        row=row,
        relevancy=relevancy[row].detach().numpy(),
        rollout=rollout[row].detach().numpy(),
    )


if __name__ == "__main__":
    main()
