// OpenAI's chat completions and completions; beside them what llama.cpp's server publishes of itself.
// https://platform.openai.com/docs/api-reference/chat, https://github.com/ggml-org/llama.cpp/tree/master/tools/server
import {randomUUID} from "node:crypto";
import {Refusal} from "./engine.mjs";

const name = "tiny-v1";
const listed = (v) => (v === undefined || v === null ? [] : [v].flat());
const parameters = (b) => ({most: b.max_completion_tokens ?? b.max_tokens ?? undefined, temperature: b.temperature ?? 0, topP: b.top_p, topK: b.top_k, seed: b.seed,
  stop: listed(b.stop), repeatPenalty: b.repeat_penalty});
const usage = (a) => ({prompt_tokens: a.input, completion_tokens: a.output, total_tokens: a.input + a.output});
const finish = (a) => (a.reason === "length" ? "length" : "stop");

// textOf reads the content of a message: a string, or text parts.
const textOf = (content) => {
  if (typeof content === "string") return content;
  return listed(content).map((part) => {
    if (part.type !== "text") throw new Refusal("invalid", `a part of type ${part.type} is not supported`);
    return part.text;
  }).join("");
};

export const routes = (engine, {props}) => ({
  "GET /v1/models": () => ({object: "list", data: [{id: name, object: "model", created: 0, owned_by: "llamacpp", meta: {n_ctx_train: 768}}]}),
  "POST /v1/chat/completions": async (b, signal) => {
    if (b.tools?.length) throw new Refusal("invalid", "tools are not supported by this model's template");
    const messages = b.messages.map((m) => ({role: m.role === "developer" ? "system" : m.role, text: textOf(m.content)}));
    const a = await engine.generate(engine.chat(messages), parameters(b), signal);
    return {id: `chatcmpl-${randomUUID()}`, object: "chat.completion", created: Math.floor(Date.now() / 1000), model: name,
      choices: [{index: 0, message: {role: "assistant", content: a.text}, finish_reason: finish(a)}], usage: usage(a)};
  },
  "POST /v1/completions": async (b, signal) => {
    const a = await engine.generate(engine.raw(b.prompt), parameters(b), signal);
    return {id: `cmpl-${randomUUID()}`, object: "text_completion", created: Math.floor(Date.now() / 1000), model: name,
      choices: [{index: 0, text: a.text, logprobs: null, finish_reason: finish(a)}], usage: usage(a)};
  },
  ...(props && {
    "GET /props": () => ({total_slots: engine.o.parallel, default_generation_settings: {n_ctx: engine.o.context}, model_path: "tiny-v1.gguf"}),
    "GET /metrics": () => `llamacpp:requests_processing ${engine.running}\nllamacpp:requests_deferred ${engine.waiting.length}\n`,
  }),
});

const kinds = {loading: [503, "unavailable_error"], busy: [503, "unavailable_error"], missing: [404, "not_found_error"], context: [400, "exceed_context_size_error"],
  invalid: [400, "invalid_request_error"], gone: [499, "client_closed_request"]};
export const refusal = (e) => {
  const [status, type] = kinds[e.kind];
  return {status, body: {error: {code: status, message: e.message, type, ...e.more}}};
};
