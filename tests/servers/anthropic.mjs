// Anthropic's Messages API. https://docs.anthropic.com/en/api/messages
import {randomUUID} from "node:crypto";
import {Refusal} from "./engine.mjs";

const textOf = (content) => {
  if (typeof content === "string") return content;
  return content.map((block) => {
    if (block.type !== "text") throw new Refusal("invalid", `a block of type ${block.type} is not supported`);
    return block.text;
  }).join("");
};

export const routes = (engine) => ({
  "POST /v1/messages": async (b, signal) => {
    if (!(b.max_tokens > 0)) throw new Refusal("invalid", "max_tokens: Field required");
    const messages = b.messages.map((m) => ({role: m.role, text: textOf(m.content)}));
    if (b.system) messages.unshift({role: "system", text: textOf(b.system)});
    const a = await engine.generate(engine.chat(messages), {most: b.max_tokens, temperature: b.temperature ?? 0, topP: b.top_p, topK: b.top_k, stop: b.stop_sequences}, signal);
    return {id: `msg_${randomUUID()}`, type: "message", role: "assistant", model: b.model, content: [{type: "text", text: a.text}],
      stop_reason: {stop: "end_turn", length: "max_tokens", sequence: "stop_sequence"}[a.reason], stop_sequence: a.sequence,
      usage: {input_tokens: a.input, output_tokens: a.output}};
  },
});

const kinds = {loading: [503, "overloaded_error"], busy: [529, "overloaded_error"], missing: [404, "not_found_error"], context: [400, "invalid_request_error"],
  invalid: [400, "invalid_request_error"], gone: [499, "api_error"]};
export const refusal = (e) => {
  const [status, type] = kinds[e.kind];
  return {status, body: {type: "error", error: {type, message: e.message}, request_id: null}};
};
