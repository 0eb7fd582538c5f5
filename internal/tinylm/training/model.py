"""The network of batholith.tiny-v1 (llama architecture, one token a byte), its chat template and its GGUF file."""
import struct

import torch, torch.nn as nn, torch.nn.functional as F

VOCAB, BOS, END, SYSTEM, USER, ASSISTANT, UNK = 264, 256, 257, 258, 259, 260, 261   # 262 and 263 are unused
SPECIAL = ["<s>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<unk>", "<|unused0|>", "<|unused1|>"]
DIM, LAYERS, HEADS, FFN, CTX = 128, 5, 4, 320, 768
HD = DIM // HEADS
ROLE = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT}
TEMPLATE = "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"


def encode(messages):
    """<s>, then for each message its role token, the bytes of its text and <|end|>; then <|assistant|>."""
    ids = [BOS]
    for role, text in messages:
        ids += [ROLE[role], *text.encode(), END]
    return ids + [ASSISTANT]


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(DIM))

    def forward(self, x):
        return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-5) * self.w


FREQ = 1 / (10000 ** (torch.arange(0, HD, 2).float() / HD))
ANGLE = torch.outer(torch.arange(CTX).float(), FREQ)
TURN = torch.polar(torch.ones_like(ANGLE), ANGLE)


def rope(x):
    """Rotates pairs (0,1), (2,3), … of x, whose shape is batch, heads, time, HD."""
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], HD // 2, 2))
    return torch.view_as_real(pairs * TURN[:x.shape[2]]).flatten(-2)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        lin = lambda i, o: nn.Linear(i, o, bias=False)
        self.n1, self.n2 = Norm(), Norm()
        self.qkv, self.o, self.gu, self.d = lin(DIM, 3 * DIM), lin(DIM, DIM), lin(DIM, 2 * FFN), lin(FFN, DIM)

    def forward(self, x, mask):
        b, t, _ = x.shape
        q, k, v = self.qkv(self.n1(x)).view(b, t, 3, HEADS, HD).permute(2, 0, 3, 1, 4)
        q, k = rope(q).reshape(b * HEADS, t, HD), rope(k).reshape(b * HEADS, t, HD)
        att = torch.baddbmm(mask, q, k.transpose(1, 2), alpha=HD ** -.5).softmax(-1)
        y = torch.bmm(att, v.reshape(b * HEADS, t, HD)).view(b, HEADS, t, HD).transpose(1, 2).reshape(b, t, DIM)
        x = x + self.o(y)
        g, u = self.gu(self.n2(x)).split(FFN, -1)
        return x + self.d(F.silu(g) * u)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(VOCAB, DIM)
        self.out_emb = nn.Linear(DIM, VOCAB, bias=False)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = Norm()
        for n, p in self.named_parameters():
            if p.dim() == 2:
                nn.init.normal_(p, 0, self.spread(n, p))
        with torch.no_grad():
            self.emb.weight[:, 0] = 4.          # a constant, from which heads can look a fixed distance back
            for i, dist in ((0, (1, 2, 3, 4)), (1, (1, 6))):
                for h, d in enumerate(dist):
                    self.look_back(self.blocks[i], h, d, 1.5 if i == 0 else 2.)
            self.blocks[0].o.weight *= 3

    @staticmethod
    def spread(name, p):
        if name == "emb.weight":
            return 1
        if "emb" in name:
            return .02
        return p.shape[1] ** -.5 * (.3 if name.endswith(("o.weight", "d.weight")) else 1)

    @staticmethod
    def look_back(block, h, d, c, pairs=9):
        """Starts head h so that it attends to the byte d places back: n-grams at once, not after many steps."""
        f, w = FREQ[:pairs], block.qkv.weight
        w[h * HD:(h + 1) * HD] *= .1
        w[DIM + h * HD:DIM + (h + 1) * HD] *= .1
        w[h * HD:h * HD + 2 * pairs:2, 0] = c
        w[DIM + h * HD:DIM + h * HD + 2 * pairs:2, 0] = c * torch.cos(d * f)
        w[DIM + h * HD + 1:DIM + h * HD + 2 * pairs:2, 0] = c * torch.sin(d * f)

    def forward(self, ids):
        t = ids.shape[1]
        mask, x = torch.full((t, t), -1e9).triu(1), self.emb(ids)
        for b in self.blocks:
            x = b(x, mask)
        return self.out_emb(self.norm(x))


@torch.no_grad()
def generate(model, prompts, limit=90):
    """Greedy answers to lists of messages; those of equal length run together. A reference, not fast."""
    ids = [encode(m) for m in prompts]
    order, answers, i = sorted(range(len(ids)), key=lambda i: len(ids[i])), [None] * len(ids), 0
    while i < len(order):
        g = [j for j in order[i:i + 32] if len(ids[j]) == len(ids[order[i]])]
        i += len(g)
        x = torch.tensor([ids[j] for j in g])
        n, done = x.shape[1], torch.zeros(len(g), dtype=torch.bool)
        while x.shape[1] < min(CTX, n + limit) and not done.all():
            t = model(x)[:, -1].argmax(-1)
            done |= t == END
            x = torch.cat((x, t[:, None]), 1)
        for j, row in zip(g, x.tolist()):
            a = row[n:]
            a = a[:a.index(END)] if END in a else a
            answers[j] = bytes(c for c in a if c < 256).decode(errors="replace")
    return answers


# ---------------------------------------------------------------- GGUF: norms f32, matrices f16
def text(s):
    b = s.encode()
    return struct.pack("<Q", len(b)) + b


def metadata():
    """The file's keys, as llama.cpp expects them of a llama model with a byte vocabulary."""
    kv = []
    key = lambda k, kind: text(k) + struct.pack("<I", kind)
    u32 = lambda k, v: kv.append(key(k, 4) + struct.pack("<I", v))
    f32 = lambda k, v: kv.append(key(k, 6) + struct.pack("<f", v))
    boo = lambda k, v: kv.append(key(k, 7) + struct.pack("<B", v))
    txt = lambda k, v: kv.append(key(k, 8) + text(v))
    arr = lambda k, kind, items: kv.append(key(k, 9) + struct.pack("<IQ", kind, len(items)) + b"".join(items))
    txt("general.architecture", "llama")
    txt("general.name", "batholith.tiny-v1")
    u32("general.file_type", 1)
    sizes = dict(context_length=CTX, embedding_length=DIM, block_count=LAYERS, feed_forward_length=FFN, vocab_size=VOCAB)
    for k, v in sizes.items():
        u32("llama." + k, v)
    u32("llama.attention.head_count", HEADS)
    u32("llama.attention.head_count_kv", HEADS)
    u32("llama.rope.dimension_count", HD)
    f32("llama.attention.layer_norm_rms_epsilon", 1e-5)
    f32("llama.rope.freq_base", 10000.)
    pieces = [f"<0x{i:02X}>" for i in range(256)] + SPECIAL
    pieces[32] = "\u2581"                                               # llama.cpp wants a real piece for the space
    kinds = [6] * 32 + [1] + [6] * 223 + [3, 3, 3, 3, 3, 2, 5, 5]       # byte, normal, control, unknown, unused
    txt("tokenizer.ggml.model", "llama")
    arr("tokenizer.ggml.tokens", 8, [text(p) for p in pieces])
    arr("tokenizer.ggml.scores", 6, [struct.pack("<f", 0)] * VOCAB)
    arr("tokenizer.ggml.token_type", 5, [struct.pack("<i", k) for k in kinds])
    for k, v in dict(bos=BOS, eos=END, eot=END, unknown=UNK).items():
        u32(f"tokenizer.ggml.{k}_token_id", v)
    boo("tokenizer.ggml.add_bos_token", 1)
    boo("tokenizer.ggml.add_space_prefix", 0)
    txt("tokenizer.chat_template", TEMPLATE)
    return kv


def tensors(model):
    yield "token_embd.weight", model.emb.weight
    yield "output.weight", model.out_emb.weight
    yield "output_norm.weight", model.norm.w
    for i, b in enumerate(model.blocks):
        q, k, v = b.qkv.weight.split(DIM)
        g, u = b.gu.weight.split(FFN)
        named = dict(attn_norm=b.n1.w, attn_q=q, attn_k=k, attn_v=v, attn_output=b.o.weight, ffn_norm=b.n2.w, ffn_gate=g, ffn_up=u, ffn_down=b.d.weight)
        for n, t in named.items():
            yield f"blk.{i}.{n}.weight", t


def write_gguf(model, path):
    kv, ts, info, body = metadata(), list(tensors(model)), b"", b""
    for n, t in ts:
        half = t.dim() == 2
        raw = struct.pack(f"<{t.numel()}{'e' if half else 'f'}", *t.detach().flatten().tolist())
        info += text(n) + struct.pack("<I", t.dim()) + b"".join(struct.pack("<Q", d) for d in reversed(t.shape)) + struct.pack("<IQ", int(half), len(body))
        body += raw + b"\0" * (-len(raw) % 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(ts), len(kv)) + b"".join(kv) + info
    with open(path, "wb") as f:
        f.write(head + b"\0" * (-len(head) % 32) + body)
