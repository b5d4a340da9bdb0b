"""The Python way, measured: Hugging Face transformers and PyTorch. Only `cargo xtask bench` needs it, for comparison.

Prints one line of JSON. Token shapes are those of `measure`: <bos>, pictures as random image features (the vision tower is not
run, but for `--job question`, which takes a picture from its file), text, answer. Frozen weights and the logits of one row alone are what the method needs at least; `--unfrozen` lets every
weight ask for its gradient, as published notebooks do.
"""

import argparse
import gc
import inspect
import json
import os
import sys
import tempfile
import threading
import time

try:
    import torch
    import transformers
    from PIL import Image
    from transformers import Gemma3ForConditionalGeneration
    from transformers.modeling_outputs import BaseModelOutputWithPooling
except ImportError as error:
    sys.exit(f"the comparison needs Python with torch, transformers (5 or later) and Pillow: {error}")

transformers.utils.logging.disable_progress_bar()

FIRST_ID = 300  # below it stand the tokens with a meaning of their own

LAST_MEMORY = 600e6  # bytes of the machine that are left alone


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="checkpoint directory")
    parser.add_argument("--job", required=True, choices=["explain", "generate", "question"])
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--images", type=int, default=1, help="pictures in the prompt")
    parser.add_argument("--text", type=int, default=25, help="text tokens of the prompt, beside <bos> and the pictures")
    parser.add_argument("--answer", type=int, default=40, help="tokens of the answer")
    parser.add_argument("--runs", type=int, default=3, help="times that it is done, after one time that is not counted")
    parser.add_argument("--enough", type=float, default=60.0, help="seconds after which no further run is begun; a first run that takes longer is the one that counts")
    parser.add_argument("--unfrozen", action="store_true", help="weights ask for their gradients")
    return parser.parse_args()


def status_bytes(path, name):
    """Bytes by a line `name: N kB` of a file of /proc; None where there is none."""
    try:
        with open(path) as lines:
            for line in lines:
                if line.startswith(name + ":"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


class Memory:
    """The most memory in use: anonymous memory of this process, or what torch holds on its device."""

    def __init__(self, device):
        self.device = device
        self.peak = 0
        self.stop = threading.Event()
        if device.type == "cuda":
            self.free = torch.cuda.mem_get_info(device)[0]
        else:
            self.free = status_bytes("/proc/meminfo", "MemAvailable")

    def used(self):
        if self.device.type == "cuda":
            return torch.cuda.memory_reserved(self.device)
        return status_bytes("/proc/self/status", "RssAnon") or 0

    def watch(self):
        """Looks from now on. A process that is about to take the last memory of a machine ends itself and says so."""
        threading.Thread(target=self.sample, daemon=True).start()

    def sample(self):
        while not self.stop.is_set():
            self.peak = max(self.peak, self.used())
            left = status_bytes("/proc/meminfo", "MemAvailable")
            if self.device.type == "cpu" and left is not None and left < LAST_MEMORY:
                print(json.dumps({"does_not_fit": True, "reached_bytes": self.peak, "available_bytes": self.free}), flush=True)
                os._exit(0)
            time.sleep(0.002)

    def close(self):
        self.stop.set()
        self.peak = max(self.peak, self.used())
        if self.device.type == "cuda":
            self.peak = max(self.peak, torch.cuda.max_memory_reserved(self.device))


def synchronise(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def needed_bytes(text, tokens):
    """What eager attention with gradients keeps of L layers, H heads, S² pairs: softmax in float32 (autograd's), the attention and
    its gradient in bfloat16. Activations come on top."""
    return text.num_hidden_layers * text.num_attention_heads * tokens * tokens * (4 + 2 + 2)


def prompt(model, args):
    """Ids and token types of the prompt `[S]`, and the image features `[N, D]`."""
    config = model.config
    usable = min(config.text_config.vocab_size, 200_000) - FIRST_ID
    ids, kinds, n = [2], [0], config.mm_tokens_per_image
    for _ in range(args.images):
        ids += [config.boi_token_id] + [config.image_token_id] * n + [config.eoi_token_id]
        kinds += [0] + [1] * n + [0]
    ids += [FIRST_ID + i * 7919 % usable for i in range(args.text)]
    kinds += [0] * args.text
    torch.manual_seed(1)
    features = torch.randn(args.images * n, config.text_config.hidden_size) * 0.5
    return (
        torch.tensor(ids, device=model.device),
        torch.tensor(kinds, device=model.device),
        features.to(model.device, torch.bfloat16),
    )


def answered(model, args):
    """Embeddings `[1, S, D]` and token types `[1, S]` of the prompt and all tokens of an answer but the last, and the id of the
    last, which is the one that is explained."""
    ids, kinds, features = prompt(model, args)
    usable = min(model.config.text_config.vocab_size, 200_000) - FIRST_ID
    answer = torch.tensor([FIRST_ID + i * 104_729 % usable for i in range(args.answer)], device=model.device)
    ids = torch.cat([ids, answer[:-1]])
    kinds = torch.nn.functional.pad(kinds, (0, args.answer - 1))
    with torch.no_grad():
        is_image = kinds == 1  # the image token may stand outside of the vocabulary
        embeddings = model.get_input_embeddings()(ids.masked_fill(is_image, 0))
        embeddings = embeddings.masked_scatter(is_image[:, None], features)
    return embeddings[None], kinds[None], answer[-1]


def explain(model, args):
    """One explanation: forward, backward from one logit, R ← R + Ā·R through all layers."""
    embeddings, kinds, target = answered(model, args)
    embeddings = embeddings.detach().requires_grad_(True)
    model.zero_grad(set_to_none=True)
    out = model(
        inputs_embeds=embeddings, token_type_ids=kinds, output_attentions=True, use_cache=False, logits_to_keep=1
    )
    for attention in out.attentions:
        attention.retain_grad()
    out.logits[0, -1, target].float().backward()
    tokens = embeddings.shape[1]
    relevancy = torch.eye(tokens, device=embeddings.device)
    with torch.no_grad():
        for attention in out.attentions:
            fused = (attention[0].float() * attention.grad[0].float()).relu().mean(0)
            relevancy = relevancy + fused @ relevancy
    row = relevancy[-1].cpu()
    if not bool(torch.isfinite(row).all()) or float(row[:-1].abs().sum()) == 0.0:
        sys.exit("the relevancy of the peer is not finite, or nothing")
    return {}


class FirstToken:
    """Notes when `generate` hands over the first token that it made; the prompt's ids are handed over before."""

    def __init__(self, device):
        self.device, self.at = device, None

    def put(self, ids):
        if self.at is None and ids.numel() == 1:
            synchronise(self.device)
            self.at = time.perf_counter()

    def end(self):
        pass


def in_place_of_pictures(model, features):
    """What `generate` takes so that these are the features of the pictures and the vision tower takes no part."""
    encoded = BaseModelOutputWithPooling(pooler_output=features)
    if "mm_encoder_outputs" in inspect.signature(model.forward).parameters:
        return {"mm_encoder_outputs": {"image": encoded}}
    # Earlier versions (5.17 is one) encode what they are given, which nobody looks at here.
    model.model.get_image_features = lambda *_, **__: encoded
    return {"pixel_values": features.new_zeros(1)}


def generate(model, args):
    ids, kinds, features = prompt(model, args)
    pictures = in_place_of_pictures(model, features) if args.images else {}
    first = FirstToken(model.device)
    started = time.perf_counter()
    with torch.inference_mode():
        made = model.generate(
            input_ids=ids[None],
            token_type_ids=kinds[None],
            attention_mask=torch.ones_like(ids[None]),
            **pictures,
            max_new_tokens=args.answer,
            do_sample=False,
            eos_token_id=None,
            top_k=None,
            top_p=None,
            streamer=first,
        )
    synchronise(model.device)
    ended = time.perf_counter()
    n_made = made.shape[1] - ids.numel()
    if n_made != args.answer:
        sys.exit(f"the peer made {n_made} tokens and not {args.answer}")
    return {"prefill_s": first.at - started, "tokens_per_s": (args.answer - 1) / (ended - first.at)}


def drawn(seed):
    """A picture that compresses as photographs do, as `measure` draws it."""
    x = torch.arange(1024)[None, :]
    y = torch.arange(1024)[:, None]
    wave = ((x + 37 * seed) / 61.0).sin() + (y / 47.0).cos()
    grey = (127.0 + 50.0 * wave).to(torch.uint8) + ((x * 7919 + y * 104_729 + seed) % 7).to(torch.uint8)
    return Image.fromarray(grey.numpy()).convert("RGB")


class Session:
    """What a person waits for, each thing done once: seconds by part in `seconds`."""

    def __init__(self, model, processor, args, folder):
        self.model, self.processor, self.args, self.folder = model, processor, args, folder
        self.seconds, self.vision = {}, 0.0
        tower = model.model.vision_tower
        tower.register_forward_pre_hook(lambda *_: setattr(self, "since", time.perf_counter()))
        tower.register_forward_hook(self.seen)

    def seen(self, *_):
        synchronise(self.model.device)
        self.vision += time.perf_counter() - self.since

    def part(self, name, work):
        started = time.perf_counter()
        result = work()
        synchronise(self.model.device)
        self.seconds[name] = time.perf_counter() - started
        return result

    def ask(self, picture, prompt):
        """Ids of prompt and answer, what the processor made of the prompt, and the picture."""
        image = self.part("decode_picture_s", lambda: Image.open(picture).convert("RGB"))
        content = [{"type": "image", "image": image}, {"type": "text", "text": prompt}]
        messages = [{"role": "user", "content": content}]
        inputs = self.part(
            "preprocess_s",
            lambda: self.processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"),
        ).to(self.model.device, torch.bfloat16)
        self.model.set_attn_implementation("sdpa")
        first, self.vision = FirstToken(self.model.device), 0.0
        started = time.perf_counter()
        with torch.inference_mode():
            made = self.model.generate(
                **inputs, max_new_tokens=self.args.answer, do_sample=False, eos_token_id=None, top_k=None, top_p=None, streamer=first
            )
        synchronise(self.model.device)
        self.seconds |= {
            "vision_s": self.vision,
            "prefill_s": first.at - started - self.vision,
            "decode_s": time.perf_counter() - first.at,
        }
        return made[0].clone(), inputs, image

    def explain(self, asked, from_end, name):
        """The token so many from the end: forward with every attention kept, backward, R ← R + Ā·R, and a picture of the map."""
        ids, inputs, image = asked
        row = self.part("explain_s", lambda: self.row(ids, inputs, len(ids) - 1 - from_end))
        self.part("export_s", lambda: self.export(row, ids, image, name))

    def row(self, ids, inputs, position):
        model = self.model
        model.set_attn_implementation("eager")
        model.zero_grad(set_to_none=True)
        before = ids[None, :position]
        kinds = torch.nn.functional.pad(inputs["token_type_ids"], (0, position - inputs["token_type_ids"].shape[1]))
        out = model(
            input_ids=before,
            token_type_ids=kinds,
            attention_mask=torch.ones_like(before),
            pixel_values=inputs["pixel_values"],
            output_attentions=True,
            use_cache=False,
            logits_to_keep=1,
        )
        for attention in out.attentions:
            attention.retain_grad()
        out.logits[0, -1, ids[position]].float().backward()
        relevancy = torch.eye(position, device=model.device)
        with torch.no_grad():
            for attention in out.attentions:
                fused = (attention[0].float() * attention.grad[0].float()).relu().mean(0)
                relevancy = relevancy + fused @ relevancy
        return relevancy[-1].cpu()

    def export(self, row, ids, image, name):
        cells = row[(ids[: len(row)] == self.model.config.image_token_id).cpu()]
        side = int(len(cells) ** 0.5)
        grid = (cells / cells.max() * 255).to(torch.uint8).view(side, side).numpy()
        heat = Image.fromarray(grid).resize(image.size, Image.BICUBIC).convert("RGB")
        Image.blend(image, heat, 0.5).save(os.path.join(self.folder, name + ".png"))


def question(model, processor, args):
    """From a picture's file to a map on disk, then a second word, a second question, a second picture."""
    with tempfile.TemporaryDirectory() as folder:
        pictures = [os.path.join(folder, f"{index}.png") for index in range(2)]
        for index, picture in enumerate(pictures):
            drawn(index).save(picture)
        # Where weights ask for nothing the graph begins at the embeddings of tokens, so that none is made of the vision tower: with one
        # `enable_input_require_grads` keeps 27 × 16 maps of 4096 × 4096, which no machine of 25 GB holds.
        model.get_input_embeddings().register_forward_hook(lambda module, inputs, output: output.requires_grad_() if torch.is_grad_enabled() else output)
        session = Session(model, processor, args, folder)

        def whole(picture, prompt, name):
            started = time.perf_counter()
            asked = session.ask(picture, prompt)
            session.explain(asked, 0, name)
            return time.perf_counter() - started, asked

        line = {}
        line["median_s"], asked = whole(pictures[0], "Describe the picture.", "first")
        line |= session.seconds
        line["tokens"] = len(asked[0])
        if args.unfrozen:  # the rest would be the same comparison again
            return line | {"runs": 1}
        started = time.perf_counter()
        session.explain(asked, 1, "second")
        line["second_word_s"] = time.perf_counter() - started
        line["second_question_s"] = whole(pictures[0], "Is there anything on the left side?", "question")[0]
        line["second_picture_s"] = whole(pictures[1], "Describe the picture.", "picture")[0]
        return line | {"runs": 1}


def timed(work, model, args):
    gc.collect()
    synchronise(model.device)
    started = time.perf_counter()
    figures = work(model, args)
    synchronise(model.device)
    return {"s": time.perf_counter() - started, **figures}


def repeat(work, model, args):
    """Runs the work as `measure` does: one run first that is not counted, unless it takes too long for a second. Also the seconds
    of the first."""
    runs = [timed(work, model, args)]
    first = runs[0]["s"]
    if runs[0]["s"] < args.enough:
        runs, started = [], time.perf_counter()
        while not runs or (len(runs) < args.runs and time.perf_counter() - started < args.enough):
            runs.append(timed(work, model, args))
    return first, runs


def median(runs, name):
    return sorted(run[name] for run in runs)[len(runs) // 2]


def tokens_of(config, args):
    return 1 + args.images * (config.mm_tokens_per_image + 2) + args.text + args.answer


def main():
    args = arguments()
    device = torch.device(args.device)
    memory = Memory(device)
    config = transformers.AutoConfig.from_pretrained(args.model)
    line = {"tokens": tokens_of(config, args), "threads": torch.get_num_threads()}
    if args.job == "explain":
        line["needed_bytes"] = needed_bytes(config.text_config, line["tokens"] - 1)
        if memory.free is not None and memory.free < line["needed_bytes"]:
            print(json.dumps({**line, "does_not_fit": True, "available_bytes": memory.free}))
            return
    memory.watch()
    started = time.perf_counter()
    model = Gemma3ForConditionalGeneration.from_pretrained(
        args.model,
        dtype=torch.bfloat16,
        attn_implementation="eager" if args.job == "explain" else "sdpa",
    ).to(device)
    synchronise(device)
    line["load_s"] = time.perf_counter() - started
    model.eval().requires_grad_(args.unfrozen)
    gc.collect()
    baseline = memory.used()
    memory.peak = baseline
    if args.job == "question":
        processor = transformers.AutoProcessor.from_pretrained(args.model)
        line |= question(model, processor, args)
        memory.close()
        print(json.dumps(line | {"peak_bytes": max(memory.peak - baseline, 0), "load_bytes": baseline}))
        return
    first, runs = repeat(explain if args.job == "explain" else generate, model, args)
    memory.close()
    line |= {"first_s": first, "median_s": median(runs, "s"), "runs": len(runs)}
    line |= {"min_s": min(run["s"] for run in runs), "max_s": max(run["s"] for run in runs)}
    line |= {"peak_bytes": max(memory.peak - baseline, 0), "load_bytes": baseline}
    line |= {name: median(runs, name) for name in runs[0] if name != "s"}
    print(json.dumps(line))


if __name__ == "__main__":
    main()
