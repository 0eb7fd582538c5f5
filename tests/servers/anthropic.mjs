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

export const streamType = "text/event-stream";
export const event = (data) => `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;

export const routes = (engine) => ({
  "POST /v1/messages": async (b, signal, send) => {
    if (!(b.max_tokens > 0)) throw new Refusal("invalid", "max_tokens: Field required");
    const messages = b.messages.map((m) => ({role: m.role, text: textOf(m.content)}));
    if (b.system) messages.unshift({role: "system", text: textOf(b.system)});
    const p = {most: b.max_tokens, temperature: b.temperature ?? 0, topP: b.top_p, topK: b.top_k, stop: b.stop_sequences};
    const message = {id: `msg_${randomUUID()}`, type: "message", role: "assistant", model: b.model};
    const why = (a) => ({stop_reason: {stop: "end_turn", length: "max_tokens", sequence: "stop_sequence"}[a.reason], stop_sequence: a.sequence});
    if (!b.stream) {
      const a = await engine.generate(engine.chat(messages), p, signal);
      return {...message, content: [{type: "text", text: a.text}], ...why(a), usage: {input_tokens: a.input, output_tokens: a.output}};
    }
    const begin = (input) => {
      send({type: "message_start", message: {...message, content: [], stop_reason: null, stop_sequence: null, usage: {input_tokens: input, output_tokens: 1}}});
      send({type: "content_block_start", index: 0, content_block: {type: "text", text: ""}});
      send({type: "ping"});
    };
    const piece = (text) => send({type: "content_block_delta", index: 0, delta: {type: "text_delta", text}});
    const a = await engine.generate(engine.chat(messages), p, signal, {begin, piece});
    send({type: "content_block_stop", index: 0});
    send({type: "message_delta", delta: why(a), usage: {output_tokens: a.output}});
    send({type: "message_stop"});
  },
});

const kinds = {loading: [503, "overloaded_error"], busy: [529, "overloaded_error"], missing: [404, "not_found_error"], context: [400, "invalid_request_error"],
  invalid: [400, "invalid_request_error"], gone: [499, "api_error"]};
export const refusal = (e) => {
  const [status, type] = kinds[e.kind];
  return {status, body: {type: "error", error: {type, message: e.message}, request_id: null}};
};
