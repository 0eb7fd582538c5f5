// The engine: llama.cpp, as node-llama-cpp ships it, with a bounded number of requests in parallel and in its queue.
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

/** Refusal is an error of a request, with a kind that each protocol words in its own way. */
export class Refusal extends Error {
  constructor(kind, message, more = {}) {
    super(message);
    Object.assign(this, {kind, more});
  }
}

/** certain cuts what later tokens may change: a character whose bytes are not complete, and what may become a stop sequence. */
const certain = (text, stops) => {
  while (text.endsWith("\ufffd")) text = text.slice(0, -1);
  let end = text.length;
  for (const stop of stops) {
    for (let n = Math.min(stop.length, text.length); n > 0; n--) {
      if (stop.startsWith(text.slice(-n))) end = Math.min(end, text.length - n);
    }
  }
  return text.slice(0, end);
};

export class Engine {
  /** o: parallel, queue (-1: unbounded), context (tokens of one request), repeatPenalty, truncate (cut long prompts, as Ollama does) */
  constructor(o) {
    this.o = o;
    this.running = 0;
    this.waiting = [];
  }

  async load(path) {
    const llama = await getLlama({gpu: false, build: "never", skipDownload: true, logLevel: LlamaLogLevel.warn, maxThreads: 2});
    this.model = await llama.loadModel({modelPath: path});
    this.context = await this.model.createContext({contextSize: this.o.context, sequences: this.o.parallel, threads: 1, batchSize: this.o.context});
    this.free = Array.from({length: this.o.parallel}, () => this.context.getSequence());
    this.end = this.model.tokens.eos;
    this.special = Object.fromEntries(["system", "user", "assistant"].map((role) => [role, this.model.tokenize(`<|${role}|>`, true)[0]]));
    this.ready = true;
  }

  /** chat returns the tokens of a conversation by the chat template of the model's file. A text never becomes a special token. */
  chat(messages) {
    const ids = [this.model.tokens.bos];
    for (const {role, text} of messages) {
      if (this.special[role] === undefined) throw new Refusal("invalid", `the role ${role} is not known to the chat template`);
      ids.push(this.special[role], ...this.model.tokenize(text, false), this.end);
    }
    return [...ids, this.special.assistant];
  }

  /** raw returns the tokens of a prompt that is templated already: special tokens in it are parsed, and a BOS is added as the model's file asks. */
  raw(prompt) {
    return [this.model.tokens.bos, ...this.model.tokenize(prompt, true)];
  }

  /**
   * generate answers a prompt: {text, reason: stop | length | sequence, sequence, input, output}.
   * told, if the answer is streamed: begin(tokens of the prompt), then piece(text) for each new text; the pieces joined are the whole text.
   */
  async generate(prompt, p, signal, told) {
    const room = Math.min(p.context ?? this.o.context, this.o.context);
    if (prompt.length >= room) {
      if (!this.o.truncate) {
        throw new Refusal("context", `request (${prompt.length} tokens) exceeds the available context size (${room} tokens), try increasing it`,
          {n_prompt_tokens: prompt.length, n_ctx: room});
      }
      prompt = [prompt[0], ...prompt.slice(prompt.length - room + 2)];
    }
    const sequence = await this.take();
    try {
      return await this.answer(sequence, prompt, p, room, signal, told);
    } finally {
      this.give(sequence);
    }
  }

  async answer(sequence, prompt, p, room, signal, told) {
    await sequence.clearHistory();
    const penalty = p.repeatPenalty ?? this.o.repeatPenalty;
    const made = [];
    const recent = () => [...prompt, ...made].slice(-64);
    const options = {temperature: p.temperature ?? 0, topK: p.topK ?? 0, topP: p.topP ?? 1, minP: 0, seed: p.seed, yieldEogToken: true,
      repeatPenalty: penalty === 1 ? false : {punishTokens: recent, penalty, penalizeNewLine: true, maxPunishTokens: 64}};
    const most = Math.min(p.most ?? Infinity, room - prompt.length);
    let sent = 0;
    const tell = (text) => {
      if (text.length > sent) told?.piece(text.slice(sent));
      sent = Math.max(sent, text.length);
    };
    const done = (reason, text, which = null) => {
      tell(text);
      return {reason, text, sequence: which, input: prompt.length, output: made.length};
    };
    told?.begin(prompt.length);
    for await (const token of sequence.evaluate(prompt, options)) {
      if (signal?.aborted) throw new Refusal("gone", "the client has gone");
      if (this.model.isEogToken(token)) return done("stop", this.model.detokenize(made));
      made.push(token);
      for (const stop of p.stop ?? []) {
        const text = this.model.detokenize(made), at = text.indexOf(stop);
        if (at >= 0) return done("sequence", text.slice(0, at), stop);
      }
      if (made.length >= most) break;
      if (told) tell(certain(this.model.detokenize(made), p.stop ?? []));
    }
    return done("length", this.model.detokenize(made));
  }

  take() {
    if (this.free.length > 0) {
      this.running++;
      return this.free.pop();
    }
    if (this.o.queue >= 0 && this.waiting.length >= this.o.queue) {
      console.log("refused: the queue is full");
      throw new Refusal("busy", "server busy, please try again.  maximum pending requests exceeded");
    }
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  give(sequence) {
    const next = this.waiting.shift();
    if (next) return next(sequence);
    this.running--;
    this.free.push(sequence);
  }
}
