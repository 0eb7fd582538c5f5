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

export const streamType = "text/event-stream";
export const event = (data) => `data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`;

// answer answers a request, whole or as a stream. content(text) and delta(text) are the members of a choice; delta(null) begins the stream.
const answer = async (engine, prompt, b, signal, send, {id, object, chunk = object, content, delta}) => {
  const head = {id: `${id}-${randomUUID()}`, object, created: Math.floor(Date.now() / 1000), model: name};
  if (!b.stream) {
    const a = await engine.generate(prompt, parameters(b), signal);
    return {...head, choices: [{index: 0, ...content(a.text), finish_reason: finish(a)}], usage: usage(a)};
  }
  const part = (member, reason = null) => send({...head, object: chunk, choices: [{index: 0, ...member, finish_reason: reason}]});
  const a = await engine.generate(prompt, parameters(b), signal, {begin: () => part(delta(null)), piece: (text) => part(delta(text))});
  part(delta(""), finish(a));
  if (b.stream_options?.include_usage) send({...head, object: chunk, choices: [], usage: usage(a)});
  send("[DONE]");
};

export const routes = (engine, {props}) => ({
  "GET /v1/models": () => ({object: "list", data: [{id: name, object: "model", created: 0, owned_by: "llamacpp", meta: {n_ctx_train: 768}}]}),
  "POST /v1/chat/completions": async (b, signal, send) => {
    if (b.tools?.length) throw new Refusal("invalid", "tools are not supported by this model's template");
    const messages = b.messages.map((m) => ({role: m.role === "developer" ? "system" : m.role, text: textOf(m.content)}));
    return answer(engine, engine.chat(messages), b, signal, send, {id: "chatcmpl", object: "chat.completion", chunk: "chat.completion.chunk",
      content: (text) => ({message: {role: "assistant", content: text}}),
      delta: (text) => ({delta: text === null ? {role: "assistant", content: null} : text === "" ? {} : {content: text}})});
  },
  "POST /v1/completions": async (b, signal, send) => {
    const content = (text) => ({text: text ?? "", logprobs: null});
    return answer(engine, engine.raw(b.prompt), b, signal, send, {id: "cmpl", object: "text_completion", content, delta: content});
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
