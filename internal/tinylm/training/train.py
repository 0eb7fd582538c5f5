"""Trains batholith.tiny-v1 from nothing and writes OUT/tiny-v1.gguf.

usage: train.py OUT

Every run gives the same file, byte for byte, on the same kind of machine and libraries (Debian's python3-torch 1.13 with
libopenblas0-pthread): the schedule counts steps, not seconds, and every random number comes from SEED. Two processes train
on a core each. OUT/state.pt is replaced every 100 steps; run again after a crash, the training goes on from it and
ends with the very same file."""
import os, random, sys, time
for v in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[v] = "1"                         # parallel by process: a thread's share of a sum would not be fixed
import torch, torch.nn.functional as F, torch.multiprocessing as mp
import data
from model import CTX, DIM, END, FFN, UNK, Model, encode, write_gguf

SEED, STEPS, RANKS = 7, 9500, 2
TOKENS = 1536                                   # about so many a step and process
POOL = 300                                      # conversations sorted by length together, so that little is padding
LATE = 85                                       # the pool from which on there are more reviews; about step 4100
WARM_UP, DECAY, PLAN = 30, .85, 11000           # steps, and the share of PLAN over which the rate falls towards nothing
EARLY, BEND = 4400, 6000                        # steps: until then spelling counts more; from then on the rate falls faster
MUON_RATE, ADAM_RATE = .006, 2e-3


# ---------------------------------------------------------------- batches
def flat(turns):
    """A conversation's tokens, and for each whether it belongs to an answer."""
    ids, answer = encode([]), []
    ids, answer = ids[:1], [False]
    for role, text in turns:
        t = encode([(role, text)])[1:-1]
        ids += t
        answer += [False] + [role == "assistant"] * (len(t) - 1)
    return ids, answer


def pool(rank, i):
    """The i-th pool of a process: batches of (tokens, targets, weights, families)."""
    rng, items = random.Random(f"{SEED} {rank} {i}"), []
    while len(items) < POOL:
        turns, family = data.sample(rng, late=i >= LATE)
        ids, answer = flat(turns)
        if len(ids) <= CTX:
            items.append((ids, answer, family))
    items.sort(key=lambda e: len(e[0]))
    groups, cur = [], []
    for e in items:
        if cur and (len(cur) + 1) * len(e[0]) > TOKENS:
            groups.append(cur)
            cur = []
        cur.append(e)
    groups.append(cur)
    rng.shuffle(groups)
    return [tensors(g) for g in groups]


def tensors(group):
    n = max(len(ids) for ids, _, _ in group)
    ids, target, weight = torch.full((len(group), n), UNK), torch.full((len(group), n), -100), torch.zeros(len(group), n)
    for row, (t, answer, family) in enumerate(group):
        ids[row, :len(t)] = torch.tensor(t)
        target[row, :len(t) - 1] = torch.tensor(t[1:])
        w = torch.tensor([float(a) for a in answer[1:]])
        if family == "other":                   # of the fixed sentence only the first byte is a decision
            w *= .03
            w[answer[1:].index(True)] = 1
        else:
            w *= 3
        weight[row, :len(t) - 1] = w
    return ids, target, weight, [f for _, _, f in group]


# ---------------------------------------------------------------- Muon (orthogonalised momentum) for matrices, Adam for the rest
def orthogonalise(g):
    a, b, c = 3.4445, -4.7750, 2.0315           # the quintic Newton-Schulz iteration
    x, tall = g / (g.norm() + 1e-7), g.shape[0] > g.shape[1]
    if tall:
        x = x.T
    for _ in range(5):
        s = x @ x.T
        x = a * x + (b * s + c * s @ s) @ x
    return x.T if tall else x


def muon(p, m, g, rate):
    m.mul_(.95).add_(g, alpha=.05)
    g = g * .05 + m * .95
    parts = g.split(DIM) if p.shape == (3 * DIM, DIM) else g.split(FFN) if p.shape == (2 * FFN, DIM) else [g]
    u = torch.cat([orthogonalise(s) * max(1, s.shape[0] / s.shape[1]) ** .5 for s in parts])
    p.mul_(1 - rate * .02).add_(u, alpha=-rate)


def adam(p, m, v, g, rate, t):
    m.mul_(.9).add_(g, alpha=.1)
    v.mul_(.98).addcmul_(g, g, value=.02)
    p.addcdiv_(m / (1 - .9 ** t), (v / (1 - .98 ** t)).sqrt() + 1e-8, value=-rate)


# ---------------------------------------------------------------- training; all state lies in memory that both processes share
class State:
    def __init__(self):
        torch.manual_seed(SEED)
        self.model = Model()
        self.params = list(self.model.parameters())
        self.m = [torch.zeros_like(p).detach() for p in self.params]
        self.v = [torch.zeros_like(p).detach() for p in self.params]
        self.at = torch.zeros(RANKS, 2, dtype=torch.long)       # each process's pool and the batch in it that comes next
        self.step = 0

    def share(self):
        self.model.share_memory()
        for t in self.m + self.v + [self.at]:
            t.share_memory_()
        self.grads = [[torch.zeros_like(p).detach().share_memory_() for p in self.params] for _ in range(RANKS)]

    def save(self, path, step):
        torch.save({"model": self.model.state_dict(), "m": self.m, "v": self.v, "at": self.at, "step": step}, path + ".new")
        os.replace(path + ".new", path)

    def load(self, path):
        c = torch.load(path)
        self.model.load_state_dict(c["model"])
        self.m, self.v, self.at, self.step = c["m"], c["v"], c["at"], c["step"]


def batches(at):
    """Yields batches from position `at`, and moves it on to the one after."""
    while True:
        ready = pool(int(at[2]), int(at[0]))
        while at[1] < len(ready):
            at[1] += 1
            yield ready[at[1] - 1]
        at[0] += 1
        at[1] = 0


def objective(model, batch, early):
    """What is minimised: wrong answers, and the prompt's own bytes, from which the model learns to spell."""
    ids, target, weight, _ = batch
    ce = F.cross_entropy(model(ids).flatten(0, 1), target.flatten(), ignore_index=-100, reduction="none").view_as(weight)
    each, prompt = (ce * weight).sum(1), (target >= 0).float() * (weight == 0)
    spelling = (ce * prompt).sum() / prompt.sum()
    return each.sum() / (ids.numel() / 170) + (1 if early else .3) * spelling, each, spelling


def rate(step):
    """The share of the full learning rates at a step: up, level, down, and from BEND on down to nothing at STEPS."""
    if step >= BEND:
        return (PLAN - BEND) / PLAN / DECAY * (STEPS - step) / (STEPS - BEND)
    return min(1, (step + 1) / WARM_UP) * min(1, (PLAN - step) / PLAN / DECAY)


@torch.no_grad()
def update(s, rank, step, f):
    """Each process averages the gradients of its share of the parameters, and updates them."""
    for i, (n, p) in enumerate(s.model.named_parameters()):
        if i % RANKS != rank:
            continue
        g = sum(gr[i] for gr in s.grads) / RANKS
        if p.dim() == 2 and "emb" not in n:
            muon(p, s.m[i], g, MUON_RATE * f)
        else:
            adam(p, s.m[i], s.v[i], g, ADAM_RATE * f, step + 1)


def worker(rank, s, stop, barrier, out):
    torch.set_num_threads(1)
    began, tokens, seen = time.time(), 0, {}
    position = torch.tensor([*s.at[rank].tolist(), rank])
    source = batches(position)
    for step in range(s.step, stop):
        batch = next(source)
        loss, each, spelling = objective(s.model, batch, step < EARLY)
        for d, g in zip(s.grads[rank], torch.autograd.grad(loss, s.params)):
            d.copy_(g)
        s.at[rank] = position[:2]
        barrier.wait()
        update(s, rank, step, rate(step))
        barrier.wait()
        tokens += batch[0].numel() * RANKS
        seen.setdefault("spelling", []).append(spelling.item())
        for k, e in zip(batch[3], each.tolist()):
            seen.setdefault(k, []).append(e)
        if rank == 0 and ((step + 1) % 100 == 0 or step + 1 == stop):
            s.save(out + "/state.pt", step + 1)
            took = time.time() - began
            print(step + 1, f"{took:.0f}s {tokens / took:.0f} tok/s", *(f"{k} {sum(l) / len(l):.3f}" for k, l in sorted(seen.items())), flush=True)
            seen = {}
        if (step + 1) % 100 == 0 or step + 1 == stop:
            barrier.wait()                      # nobody moves on while the state is being saved


def train(out, stop):
    os.makedirs(out, exist_ok=True)
    torch.set_num_threads(1)
    s = State()
    if os.path.exists(out + "/state.pt"):
        s.load(out + "/state.pt")
    s.share()
    ctx = mp.get_context("fork")
    barrier = ctx.Barrier(RANKS)
    ps = [ctx.Process(target=worker, args=(r, s, stop, barrier, out)) for r in range(RANKS)]
    for p in ps:
        p.start()
    for p in ps:
        p.join()
    if any(p.exitcode for p in ps):
        sys.exit("train: a process died; run again to go on from the last saved state")
    write_gguf(s.model, out + "/tiny-v1.gguf")


if __name__ == "__main__":
    train(sys.argv[1], int(os.environ.get("STOP", STEPS)))      # STOP: end early, as a crash would, to test resuming
