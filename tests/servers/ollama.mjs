// Ollama's own API, with its default penalty for repetitions. https://github.com/ollama/ollama/blob/main/docs/api.md
import {Refusal} from "./engine.mjs";

const name = "tiny-v1:latest";
const details = {parent_model: "", format: "gguf", family: "llama", families: ["llama"], parameter_size: "1.01M", quantization_level: "F16"};
const knows = (model) => {
  if (model !== name && `${model}:latest` !== name) throw new Refusal("missing", `model '${model}' not found`);
};
const parameters = (b) => {
  const o = b.options ?? {};
  return {most: o.num_predict > 0 ? o.num_predict : undefined, temperature: o.temperature ?? 0, topP: o.top_p, topK: o.top_k, seed: o.seed, stop: o.stop,
    context: o.num_ctx, repeatPenalty: o.repeat_penalty ?? 1.1};
};
const totals = (a) => ({done: true, done_reason: a.reason === "length" ? "length" : "stop", total_duration: 1, load_duration: 1,
  prompt_eval_count: a.input, prompt_eval_duration: 1, eval_count: a.output, eval_duration: 1});

export const streamType = "application/x-ndjson";
export const event = (data) => `${JSON.stringify(data)}\n`;

// answer answers a request: as a stream, unless the request says otherwise. content(text) is the member with the text.
const answer = async (engine, prompt, b, signal, send, content) => {
  const line = (text, more) => ({model: b.model, created_at: new Date().toISOString(), ...content(text), ...more});
  if (b.stream === false) {
    const a = await engine.generate(prompt, parameters(b), signal);
    return line(a.text, totals(a));
  }
  const a = await engine.generate(prompt, parameters(b), signal, {begin: () => {}, piece: (text) => send(line(text, {done: false}))});
  send(line("", totals(a)));
};

export const routes = (engine) => ({
  "GET /api/version": () => ({version: "0.17.0"}),
  "GET /api/tags": () => ({models: [{name, model: name, modified_at: "2026-01-01T00:00:00Z", size: 2034784, digest: "0".repeat(64), details}]}),
  "GET /api/ps": () => ({models: [{name, model: name, size: 2034784, size_vram: 0, context_length: engine.o.context, details}]}),
  "POST /api/show": (b) => {
    knows(b.model);
    return {modelfile: "", parameters: "", template: "", details, model_info: {"general.architecture": "llama", "llama.context_length": 768}, capabilities: ["completion"]};
  },
  "POST /api/chat": (b, signal, send) => {
    knows(b.model);
    if (b.tools?.length) throw new Refusal("invalid", `registry.ollama.ai/library/${name} does not support tools`);
    return answer(engine, engine.chat(b.messages.map((m) => ({role: m.role, text: m.content}))), b, signal, send, (text) => ({message: {role: "assistant", content: text}}));
  },
  "POST /api/generate": (b, signal, send) => {
    knows(b.model);
    const prompt = b.raw ? engine.model.tokenize(b.prompt, true) : engine.chat([...(b.system ? [{role: "system", text: b.system}] : []), {role: "user", text: b.prompt}]);
    return answer(engine, prompt, b, signal, send, (text) => ({response: text}));
  },
});

const statuses = {loading: 503, busy: 503, missing: 404, context: 400, invalid: 400, gone: 499};
export const refusal = (e) => ({status: statuses[e.kind], body: {error: e.message}});
