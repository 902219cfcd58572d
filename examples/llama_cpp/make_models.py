#!/usr/bin/env python3
"""make_models.py - small models with random weights and the right metadata.   MIT licence.

    /usr/bin/python3 make_models.py DIR [llava|qwen3vl|gemma3 ...] [--large]

writes DIR/FAMILY/model.gguf and DIR/FAMILY/mmproj.gguf, and DIR/picture.ppm. They run through the
engine's own graphs, tokenizers and decoders; what they say means nothing. --large makes llava of a
realistic shape: a ViT-L/14 at 336 pixels and 22 decoder layers of width 2048, in Q8_0 (1.6 GB).
Needs numpy."""
import os
import struct
import sys

import numpy as np

U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
FLOAT32, FLOAT16, Q8_0 = 0, 1, 8
CODES = {U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}
random = np.random.default_rng(1)


def text(s):
    return struct.pack("<Q", len(s)) + s


def value(kind, v):
    if kind == STRING:
        return text(v if isinstance(v, bytes) else v.encode())
    return struct.pack(CODES[kind], v)


class Gguf:
    """Metadata and tensors, in the order in which they were added."""

    def __init__(self):
        self.meta, self.tensors, self.pairs = [], [], 0

    def put(self, key, kind, v):
        self.meta.append(text(key.encode()) + struct.pack("<I", kind) + value(kind, v))
        self.pairs += 1

    def put_list(self, key, kind, values):
        head = struct.pack("<IIQ", ARRAY, kind, len(values))
        self.meta.append(text(key.encode()) + head + b"".join(value(kind, v) for v in values))
        self.pairs += 1

    def add(self, name, *shape, fill=None, large=False):
        """Row-major, so the engine's first dimension comes last."""
        if large:
            blocks = int(np.prod(shape)) // 32
            raw = np.empty((blocks, 34), np.uint8)
            raw[:, :2] = np.frombuffer(np.float16(0.02 / 74).tobytes(), np.uint8)
            raw[:, 2:] = random.integers(0, 256, (blocks, 32), np.uint8)
            self.tensors.append((name, shape, Q8_0, raw.tobytes()))
            return
        if fill is None:
            data = (random.standard_normal(shape, np.float32) * np.float32(shape[-1] ** -0.5))
        else:
            data = np.full(shape, fill, np.float32)
        kind = FLOAT16 if len(shape) == 4 else FLOAT32
        data = data.astype(np.float16) if kind == FLOAT16 else data
        self.tensors.append((name, shape, kind, data.tobytes()))

    def write(self, path):
        with open(path, "wb") as f:
            f.write(b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), self.pairs))
            f.write(b"".join(self.meta))
            offset = 0
            for name, shape, kind, data in self.tensors:
                f.write(text(name.encode()) + struct.pack("<I", len(shape)))
                f.write(struct.pack("<%dQ" % len(shape), *reversed(shape)))
                f.write(struct.pack("<IQ", kind, offset))
                offset += (len(data) + 31) // 32 * 32
            f.write(b"\0" * (-f.tell() % 32))
            for _, _, _, data in self.tensors:
                f.write(data + b"\0" * (-len(data) % 32))


def spm_vocabulary(g, specials):
    """SentencePiece: the unknown, both ends, all bytes, ASCII, and what is special."""
    tokens = [b"<unk>", b"<s>", b"</s>"] + [b"<0x%02X>" % i for i in range(256)]
    kinds = [2, 3, 3] + [6] * 256
    for c in range(33, 127):
        tokens.append(bytes([c]))
        kinds.append(1)
    tokens.append("\u2581".encode())
    kinds.append(1)
    tokens += specials
    kinds += [3] * len(specials)
    g.put("tokenizer.ggml.model", STRING, "llama")
    g.put_list("tokenizer.ggml.tokens", STRING, tokens)
    g.put_list("tokenizer.ggml.scores", F32, [-float(i) for i in range(len(tokens))])
    g.put_list("tokenizer.ggml.token_type", I32, kinds)
    g.put("tokenizer.ggml.bos_token_id", U32, 1)
    g.put("tokenizer.ggml.eos_token_id", U32, 2)
    g.put("tokenizer.ggml.unknown_token_id", U32, 0)
    return len(tokens)


def bpe_vocabulary(g, specials):
    """Byte pairs: a printable symbol a byte, as GPT-2 has them, one merge, and what is special."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols = [chr(b) if b in printable else None for b in range(256)]
    others = iter(range(256, 512))
    symbols = [s if s is not None else chr(next(others)) for s in symbols]
    tokens = [s.encode() for s in symbols] + [b"th"] + specials
    g.put("tokenizer.ggml.model", STRING, "gpt2")
    g.put("tokenizer.ggml.pre", STRING, "qwen2")
    g.put_list("tokenizer.ggml.tokens", STRING, tokens)
    g.put_list("tokenizer.ggml.token_type", I32, [1] * 257 + [3] * len(specials))
    g.put_list("tokenizer.ggml.merges", STRING, ["t h"])
    g.put("tokenizer.ggml.eos_token_id", U32, 257)
    g.put("tokenizer.ggml.bos_token_id", U32, 257)
    return len(tokens)


def decoder(g, arch, layers, width, heads, kv_heads, head, ff, n_vocab, large=False, **extra):
    g.put("%s.context_length" % arch, U32, 8192)
    g.put("%s.embedding_length" % arch, U32, width)
    g.put("%s.block_count" % arch, U32, layers)
    g.put("%s.feed_forward_length" % arch, U32, ff)
    g.put("%s.attention.head_count" % arch, U32, heads)
    g.put("%s.attention.head_count_kv" % arch, U32, kv_heads)
    g.put("%s.attention.key_length" % arch, U32, head)
    g.put("%s.attention.value_length" % arch, U32, head)
    g.put("%s.attention.layer_norm_rms_epsilon" % arch, F32, 1e-6)
    for key, (kind, v) in extra.items():
        name = "%s.%s" % (arch, key.replace("__", "."))
        if isinstance(v, list):
            g.put_list(name, kind, v)
        else:
            g.put(name, kind, v)
    g.add("token_embd.weight", n_vocab, width)
    g.add("output_norm.weight", width, fill=1.0)
    g.add("output.weight", n_vocab, width)
    for i in range(layers):
        b = "blk.%d." % i
        g.add(b + "attn_norm.weight", width, fill=1.0)
        g.add(b + "attn_q.weight", heads * head, width, large=large)
        g.add(b + "attn_k.weight", kv_heads * head, width, large=large)
        g.add(b + "attn_v.weight", kv_heads * head, width, large=large)
        g.add(b + "attn_output.weight", width, heads * head, large=large)
        if arch != "llama":
            g.add(b + "attn_q_norm.weight", head, fill=1.0)
            g.add(b + "attn_k_norm.weight", head, fill=1.0)
        if arch == "gemma3":
            g.add(b + "post_attention_norm.weight", width, fill=1.0)
            g.add(b + "post_ffw_norm.weight", width, fill=1.0)
        g.add(b + "ffn_norm.weight", width, fill=1.0)
        g.add(b + "ffn_gate.weight", ff, width, large=large)
        g.add(b + "ffn_up.weight", ff, width, large=large)
        g.add(b + "ffn_down.weight", width, ff, large=large)


def vision(g, projector, layers, width, heads, ff, size, patch, projection, joined, n_positions,
           large=False):
    g.put("general.architecture", STRING, "clip")
    g.put("general.file_type", U32, 0)
    g.put("clip.has_vision_encoder", BOOL, True)
    g.put("clip.projector_type", STRING, projector)
    g.put("clip.use_gelu", BOOL, True)
    for key, v in [("embedding_length", width), ("feed_forward_length", ff),
                   ("block_count", layers), ("projection_dim", projection),
                   ("attention.head_count", heads), ("image_size", size), ("patch_size", patch)]:
        g.put("clip.vision." + key, U32, v)
    g.put("clip.vision.attention.layer_norm_epsilon", F32, 1e-5)
    g.put_list("clip.vision.image_mean", F32, [0.48, 0.46, 0.41])
    g.put_list("clip.vision.image_std", F32, [0.27, 0.26, 0.28])
    g.add("v.patch_embd.weight", width, 3, patch, patch)
    g.add("v.position_embd.weight", n_positions, width)
    for i in range(layers):
        b = "v.blk.%d." % i
        names = ["attn_qkv"] if joined else ["attn_q", "attn_k", "attn_v"]
        for name, rows, columns in [(n, (3 if joined else 1) * width, width) for n in names] + [
                ("attn_out", width, width), ("ffn_up", ff, width), ("ffn_down", width, ff)]:
            g.add(b + name + ".weight", rows, columns, large=large)
            g.add(b + name + ".bias", rows, fill=0.01)
        for name in ("ln1", "ln2"):
            g.add(b + name + ".weight", width, fill=1.0)
            g.add(b + name + ".bias", width, fill=0.0)


def linear(g, name, rows, columns, large=False):
    g.add(name + ".weight", rows, columns, large=large)
    g.add(name + ".bias", rows, fill=0.01)


def norm(g, name, width):
    g.add(name + ".weight", width, fill=1.0)
    g.add(name + ".bias", width, fill=0.0)


def make_llava(model, mmproj, large):
    width = 2048 if large else 64
    model.put("general.architecture", STRING, "llama")
    n_vocab = spm_vocabulary(model, [])
    if large:
        decoder(model, "llama", 22, width, 32, 4, 64, 5632, n_vocab, True)
        vision(mmproj, "mlp", 24, 1024, 16, 4096, 336, 14, width, False, 577, True)
    else:
        decoder(model, "llama", 2, width, 4, 2, 16, 128, n_vocab)
        vision(mmproj, "mlp", 3, 64, 4, 128, 112, 14, width, False, 65)
    inner = 1024 if large else 64
    mmproj.add("v.class_embd", inner)
    norm(mmproj, "v.pre_ln", inner)
    linear(mmproj, "mm.0", width, inner, large)
    linear(mmproj, "mm.2", width, width, large)


def make_qwen3vl(model, mmproj, large):
    del large
    width, inner, planes = 64, 64, 2
    model.put("general.architecture", STRING, "qwen3vl")
    n_vocab = bpe_vocabulary(model, [b"<|endoftext|>", b"<|vision_start|>", b"<|vision_end|>",
                                     b"<|image_pad|>", b"<|im_start|>", b"<|im_end|>"])
    decoder(model, "qwen3vl", 3, width, 2, 2, 32, 128, n_vocab,
            rope__dimension_sections=(I32, [8, 4, 4, 0]), rope__freq_base=(F32, 5e6),
            n_deepstack_layers=(U32, planes))
    vision(mmproj, "qwen3vl_merger", 3, inner, 4, 128, 128, 16, width, True, 64)
    mmproj.put("clip.vision.spatial_merge_size", U32, 2)
    mmproj.put_list("clip.vision.is_deepstack_layers", BOOL, [True, True, False])
    mmproj.add("v.patch_embd.weight.1", inner, 3, 16, 16)
    mmproj.add("v.patch_embd.bias", inner, fill=0.0)
    norm(mmproj, "v.post_ln", inner)
    for i in range(planes):
        norm(mmproj, "v.deepstack.%d.norm" % i, 4 * inner)
        linear(mmproj, "v.deepstack.%d.fc1" % i, 4 * inner, 4 * inner)
        linear(mmproj, "v.deepstack.%d.fc2" % i, width, 4 * inner)
    linear(mmproj, "mm.0", 4 * inner, 4 * inner)
    linear(mmproj, "mm.2", width, 4 * inner)


def make_gemma3(model, mmproj, large):
    del large
    width, inner = 64, 64
    model.put("general.architecture", STRING, "gemma3")
    n_vocab = spm_vocabulary(model, [b"<start_of_image>", b"<end_of_image>", b"<end_of_turn>"])
    decoder(model, "gemma3", 6, width, 2, 1, 32, 128, n_vocab,
            attention__sliding_window=(U32, 512), rope__freq_base=(F32, 1e6))
    vision(mmproj, "gemma3", 2, inner, 4, 128, 128, 8, width, False, 256)
    mmproj.put("clip.vision.projector.scale_factor", U32, 2)
    norm(mmproj, "v.post_ln", inner)
    mmproj.add("v.patch_embd.bias", inner, fill=0.0)
    mmproj.add("mm.soft_emb_norm.weight", inner, fill=1.0)
    mmproj.add("mm.input_projection.weight", inner, width)


FAMILIES = {"llava": make_llava, "qwen3vl": make_qwen3vl, "gemma3": make_gemma3}


def main(arguments):
    large = "--large" in arguments
    names = [a for a in arguments if a != "--large"]
    if not names or any(n not in FAMILIES for n in names[1:]):
        sys.exit(__doc__)
    folder = names[0]
    for family in names[1:] or (["llava"] if large else FAMILIES):
        os.makedirs(os.path.join(folder, family), exist_ok=True)
        model, mmproj = Gguf(), Gguf()
        FAMILIES[family](model, mmproj, large)
        model.write(os.path.join(folder, family, "model.gguf"))
        mmproj.write(os.path.join(folder, family, "mmproj.gguf"))
    y, x = np.mgrid[0:256, 0:320]
    picture = np.stack([x * 255 // 320, y, 128 + 100 * np.sin(x * y / 999.0)], 2)
    picture[80:160, 100:220] = random.integers(0, 256, (80, 120, 3))
    with open(os.path.join(folder, "picture.ppm"), "wb") as f:
        f.write(b"P6 320 256 255\n" + picture.astype(np.uint8).tobytes())


if __name__ == "__main__":
    main(sys.argv[1:])
