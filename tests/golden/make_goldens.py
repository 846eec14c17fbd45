#!/usr/bin/env python3
"""Makes the golden files of tests/golden/data from implementations that are not ours.

Needs torch, transformers, tokenizers, gguf and numpy (pip), the model file that run.sh fetches,
and the licence texts of a Debian system. Takes a few minutes. The tests read what it writes;
nothing else needs it.

    make_goldens.py MODEL.gguf [--out FOLDER] [--only tokens|logits]

tokens.json  token ids of texts by the `tokenizers` library, pieces of the three pre-tokenizers
             by its regular expressions, a rendered conversation by the file's Jinja template
logits.json  logits and greedy tokens by `transformers` in fp32 on the dequantised weights
"""

import argparse
import json
import pathlib
import platform

import gguf
import numpy as np
import tokenizers
import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

POSITIONS = 16
ENTRIES = 256
TOP = 8
GREEDY = 64
SEED = 20250101
LONG_QUESTION = "\n\nRepeat the first section of the text above word for word."
LICENSES = pathlib.Path("/usr/share/common-licenses")

# The published patterns of Llama 3 and Qwen2 (tokenizer.json of these models).
TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
HEAD = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
PRE_TOKENIZERS = {
    "smollm": pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
    ]),
    "llama3": pre_tokenizers.Split(Regex(HEAD + r"\p{N}{1,3}" + TAIL), "isolated"),
    "qwen2": pre_tokenizers.Split(Regex(HEAD + r"\p{N}" + TAIL), "isolated"),
}

MIXED_TEXT = """# Étude: naïve façade, 12,345.678 and 0x1F — “smart” quotes… ½ ² Ⅷ ٣
def softmax(x, *, scale=1e-3):
    z = [math.exp(v / scale) for v in x]   # don't; we'll see, they've it's I'M
\treturn {k: v for k, v in zip("αβγ", z)}


int main(void) { for (int i=0;i<10;++i) printf("%d\\n", a[i]<<2 & ~0xffu); return 0; }
SELECT * FROM "t" WHERE id IN (1,22,333,4444,55555) AND name LIKE '%ß%';
中文分词：我喜欢机器学习，価格は１２３円です。 한국어도 있어요. สวัสดี नमस्ते مرحبا ١٢٣ שלום
Emoji: 😀👩‍💻🏳️‍🌈🇨🇭 👍🏽 ❤️ and math ∑∫√∞ ≠ ≤ → ⇒ 𝔘𝔫𝔦𝔠𝔬𝔡𝔢
    four spaces,  two  between,\u00a0no-break\u2003em\u3000ideographic\u2028line
Crème brûlée à la carte; Ærøskøbing, Łódź, Đà Nẵng, ΑΒΓ Ωμέγα, Привет мир! e\u0301 n\u0303
https://example.org/a?b=c&d=%20e#f  user.name+tag@example.co.uk  --flag=value  $HOME/.cache
 \r\n\r\n\t \n   trailing spaces   """

SPECIAL_TEXT = "<|im_start|>user\nWhat is 7*6?<|im_end|>\n<|im_start|>assistant\n<|endoftext|>x<|im_sta"

HARD_CASES = [
    "", " ", "  ", "a", " a", "a ", "  a  ", "\n", "\n\n", " \n ", "a\n\nb", "\r\n", "a \r\n\t b",
    "can't won't I'LL HE'S 'S ' s 'tis it''s 'd'm", "'\u017f \u212a'\u017f 'VE'Re", "1", "12", "123",
    "1234567", " 1", "  12", "a1b22c333", "x  1", "x \n 1", "3.14e-10", "１２３ ٣٤ ½² Ⅷ 〇",
    "日本語 テキスト", "混合mixed文字123", "e\u0301a\u0308", "नमस्ते दुनिया", "สวัสดีชาวโลก",
    "👩‍💻 ok 🏳️‍🌈!", "🇨🇭🇨🇭", "!!!", " !!!", "...\n\n", "-- \n", "a.b,c;d", "foo(bar)[1]{2}", "\t\tx",
    "\u00a0\u00a0x", "x\u0085y", "x\u180ey", "x \u180e y", "\u2028\u2029x", "\u3000x", "\u200b x\u200b",
    "\ufeffbom", "\u00ad soft", "a\u0000b", "\u001f\u001cx", "\x0b\x0c x", "#include <a.h>\n\n\n  int x;\n",
    "   \n   \n   x", "   \n   \n   1", "word   ", "word \n", "_a_ __b__ c_1", "$5 €6 £7", "\u1680x\u205fy",
]
RANDOM_ALPHABET = list(
    "aZéßñΩжא語한ก\u0301\u093e 0179½٣Ⅷ１'''sStTmMdDlLrRvVeE..,;!?-_()\t\n\r\r\n    \u00a0\u2003\u3000\u0085"
    "\u2028😀\u200d❤️𝔘+=<>|$€"
)


def random_cases(count, longest):
    rng = np.random.default_rng(SEED)
    for _ in range(count):
        size = int(rng.integers(1, longest + 1))
        yield "".join(RANDOM_ALPHABET[i] for i in rng.integers(0, len(RANDOM_ALPHABET), size))


def versions():
    return {
        "python": platform.python_version(),
        **{m.__name__: str(getattr(m, "__version__", "?"))
           for m in (torch, transformers, tokenizers, np)},
        "gguf": __import__("importlib.metadata").metadata.version("gguf"),
    }


def tokenizer_of(fields):
    """SmolLM2's tokenizer, put together from the file's vocabulary."""
    tokens = fields["tokenizer.ggml.tokens"].contents()
    kinds = fields["tokenizer.ggml.token_type"].contents()
    merges = [tuple(m.split(" ")) for m in fields["tokenizer.ggml.merges"].contents()]
    tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, merges))
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.pre_tokenizer = PRE_TOKENIZERS["smollm"]
    control = [t for t, kind in zip(tokens, kinds) if kind == 3]
    tokenizer.add_special_tokens([tokenizers.AddedToken(t, special=True, normalized=False)
                                  for t in control])
    return tokenizer


def pieces(pre_tokenizer, text):
    return [text[a:b] for _, (a, b) in pre_tokenizer.pre_tokenize_str(text)]


def make_tokens(path, fields, license_text):
    by_hand = tokenizer_of(fields)
    automatic = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    texts = [MIXED_TEXT, SPECIAL_TEXT, license_text[:6000]] + HARD_CASES + list(random_cases(200, 40))
    ids = [by_hand.encode(t, add_special_tokens=False).ids for t in texts]
    disagreeing = [t for t, i in zip(texts, ids)
                   if automatic.encode(t, add_special_tokens=False) != i]
    # The loader of transformers leaves out the splitting of digits; with it both must agree.
    automatic.backend_tokenizer.pre_tokenizer = PRE_TOKENIZERS["smollm"]
    still = [t for t, i in zip(texts, ids) if automatic.encode(t, add_special_tokens=False) != i]
    print(f"AutoTokenizer as loaded disagrees on {len(disagreeing)} of {len(texts)} texts, "
          f"with SmolLM2's pre-tokenizer on {len(still)}")
    assert not still, still
    conversation = [{"role": "user", "content": "What is 7*6?"},
                    {"role": "assistant", "content": "42"},
                    {"role": "user", "content": "  And 6*7?\n"}]
    conversations = [conversation, [{"role": "system", "content": "Be brief."}] + conversation]
    cases = HARD_CASES + [MIXED_TEXT] + list(random_cases(300, 24))
    return {
        "made_by": versions(),
        "auto_tokenizer_disagrees_as_loaded": len(disagreeing),
        "texts": [{"text": t, "ids": i} for t, i in zip(texts, ids)],
        "chats": [{"messages": c, "rendered": automatic.apply_chat_template(
            c, tokenize=False, add_generation_prompt=True)} for c in conversations],
        "pieces": {name: [{"text": t, "pieces": pieces(p, t)} for t in cases]
                   for name, p in PRE_TOKENIZERS.items()},
    }


def unpermute(rows, heads):
    """Rows of q or k from neighbour pairs (GGUF's llama) back to halves (transformers)."""
    size = rows.shape[0] // heads
    return rows.reshape(heads, size // 2, 2, -1).swapaxes(1, 2).reshape(rows.shape)


def model_of(reader):
    fields = reader.fields
    meta = {key.removeprefix("llama."): fields[key].contents()
            for key in fields if key.startswith("llama.")}
    heads, kv_heads = meta["attention.head_count"], meta["attention.head_count_kv"]
    config = transformers.LlamaConfig(
        vocab_size=meta["vocab_size"], hidden_size=meta["embedding_length"],
        intermediate_size=meta["feed_forward_length"], num_hidden_layers=meta["block_count"],
        num_attention_heads=heads, num_key_value_heads=kv_heads,
        max_position_embeddings=meta["context_length"],
        rms_norm_eps=meta["attention.layer_norm_rms_epsilon"],
        rope_parameters={"rope_type": "default", "rope_theta": meta["rope.freq_base"]},
        tie_word_embeddings=True, attn_implementation="sdpa", dtype=torch.float32)
    names = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
             "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
             "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
             "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
    state = {}
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        parts = tensor.name.split(".")
        if parts[0] == "blk":
            if parts[2] in ("attn_q", "attn_k"):
                values = unpermute(values, heads if parts[2] == "attn_q" else kv_heads)
            name = f"model.layers.{parts[1]}.{names[parts[2]]}.weight"
        else:
            name = {"token_embd": "model.embed_tokens.weight",
                    "output_norm": "model.norm.weight"}[parts[0]]
        state[name] = torch.from_numpy(np.ascontiguousarray(values))
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model = transformers.LlamaForCausalLM(config).eval()
    model.load_state_dict(state, strict=True)
    size = config.hidden_size // heads
    expected = meta["rope.freq_base"] ** (-torch.arange(0, size, 2).double() / size)
    assert torch.allclose(model.model.rotary_emb.inv_freq.double(), expected, rtol=1e-6)
    return model


def prompts(tokenizer):
    """Name and token ids: a question, a text that breaks off, a long text and a question.

    Greedy continuations can be compared only where no two tokens tie: the questions are such
    that the best token always leads by more than implementations differ (see
    smallest_greedy_margin in the output).
    """
    def ids(text):
        return tokenizer.encode(text, add_special_tokens=False).ids

    head = ("<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging "
            "Face<|im_end|>\n<|im_start|>user\n")
    tail = "<|im_end|>\n<|im_start|>assistant\n"
    apache = (LICENSES / "Apache-2.0").read_text()
    gpl = (LICENSES / "GPL-3").read_text()
    return {
        "short": ids(head + "Explain in simple words why the sky is blue." + tail),
        "1k": ids(apache)[:1024],
        "4k": ids(head) + ids(gpl)[:4000] + ids(LONG_QUESTION + tail),
    }


@torch.no_grad()
def run_prompt(model, ids, rng):
    out = model(torch.tensor([ids]), use_cache=True, logits_to_keep=POSITIONS)
    last = out.logits[0].float().numpy()
    assert last.shape[0] == min(POSITIONS, len(ids))
    positions = []
    for row, logits in enumerate(last):
        entries = np.sort(rng.choice(logits.size, ENTRIES, replace=False))
        top = np.argsort(-logits, kind="stable")[:TOP]
        positions.append({"position": len(ids) - last.shape[0] + row,
                          "entries": entries.tolist(),
                          "logits": [round(float(v), 5) for v in logits[entries]],
                          "top": top.tolist(),
                          "top_logits": [round(float(v), 5) for v in logits[top]]})
    greedy, margins = [], []
    logits, cache = out.logits[0, -1], out.past_key_values
    for _ in range(GREEDY):
        best = torch.topk(logits, 2)
        margins.append(float(best.values[0] - best.values[1]))
        greedy.append(int(torch.argmax(logits)))
        out = model(torch.tensor([[greedy[-1]]]), past_key_values=cache, use_cache=True)
        logits, cache = out.logits[0, -1], out.past_key_values
    return {"ids": ids, "positions": positions, "greedy": greedy,
            "smallest_greedy_margin": round(min(margins), 5)}


def make_logits(path, reader):
    tokenizer = tokenizer_of(reader.fields)
    model = model_of(reader)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    rng = np.random.default_rng(SEED)
    cases = {}
    for name, ids in prompts(tokenizer).items():
        cases[name] = run_prompt(model, ids, rng)
        print(name, len(ids), "tokens, smallest greedy margin", cases[name]["smallest_greedy_margin"])
        print(repr(tokenizer.decode(cases[name]["greedy"], skip_special_tokens=False)))
        if name == "short":
            with torch.no_grad():
                apart = (model(torch.tensor([ids])).logits - loaded(torch.tensor([ids])).logits)
            print("against transformers' own GGUF loader:", float(apart.abs().max()))
            assert float(apart.abs().max()) < 1e-3
            del loaded
    return {"made_by": versions(), "model": path.name, "size_bytes": path.stat().st_size,
            "prompts": cases}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent / "data")
    parser.add_argument("--only", choices=["tokens", "logits"])
    arguments = parser.parse_args()
    reader = gguf.GGUFReader(arguments.model)
    arguments.out.mkdir(parents=True, exist_ok=True)
    made = {}
    if arguments.only != "logits":
        license_text = (LICENSES / "Apache-2.0").read_text()
        made["tokens"] = make_tokens(arguments.model, reader.fields, license_text)
    if arguments.only != "tokens":
        made["logits"] = make_logits(arguments.model, reader)
    for name, content in made.items():
        file = arguments.out / f"{name}.json"
        file.write_text(json.dumps(content, ensure_ascii=True, separators=(",", ":")) + "\n")
        print(file, file.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
