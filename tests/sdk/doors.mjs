// The libraries of OpenAI and Anthropic for JavaScript, as they come, call the models of a running server.
// AWS_ENDPOINT_URL_BEDROCK is its address, API_KEY a key. What is wrong goes to stderr, and the exit code is 1.
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const { AWS_ENDPOINT_URL_BEDROCK, API_KEY } = process.env;
const model = "anthropic.claude-sonnet-4-20250514-v1:0";
const messages = (content) => [{ role: "user", content }];
const openai = new OpenAI({ baseURL: `${AWS_ENDPOINT_URL_BEDROCK}/openai/v1`, apiKey: API_KEY, maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: `${AWS_ENDPOINT_URL_BEDROCK}/anthropic`, apiKey: API_KEY, maxRetries: 0 });

// OpenAI: chat completions.
const whole = await openai.chat.completions.create({ model, messages: messages("Hello") });
assert.deepEqual([whole.choices[0].message.content, whole.choices[0].finish_reason, whole.usage.total_tokens, whole.model], ["Good day.", "stop", 8, model]);
const chunks = [];
for await (const chunk of await openai.chat.completions.create({ model, messages: messages("Hello"), stream: true, stream_options: { include_usage: true } })) chunks.push(chunk);
assert.equal(chunks.map((c) => c.choices[0]?.delta.content ?? "").join(""), "Good day.");
assert.deepEqual([chunks.at(-2).choices[0].finish_reason, chunks.at(-1).choices.length, chunks.at(-1).usage.total_tokens], ["stop", 0, 8]);
const weather = { type: "function", function: { name: "weather", parameters: { type: "object" } } };
const helped = await openai.chat.completions.stream({ model, messages: messages("Hello"), tools: [weather] }).finalChatCompletion();
assert.deepEqual(helped.choices[0].message.tool_calls.map((c) => [c.id, c.function.name, c.function.arguments]), [["call-1", "weather", '{"city":"Bern"}']]);
for (const end of ["reset", "missing", "error"]) {
  await assert.rejects(async () => { for await (const chunk of await openai.chat.completions.create({ model, messages: messages(`end:${end}`), stream: true })) void chunk; }, OpenAI.APIError, end);
}
await assert.rejects(openai.chat.completions.create({ model, messages: messages("end:429") }), OpenAI.RateLimitError);
await assert.rejects(openai.chat.completions.create({ model: "no-such-model", messages: messages("Hello") }), OpenAI.NotFoundError);
await assert.rejects(openai.chat.completions.create({ model, messages: [] }), OpenAI.BadRequestError);
await assert.rejects(openai.withOptions({ apiKey: "wrong" }).chat.completions.create({ model, messages: messages("Hello") }), OpenAI.AuthenticationError);

// OpenAI: responses, and the list of models.
const answer = await openai.responses.create({ model, instructions: "Be brief.", input: "Hello" });
assert.deepEqual([answer.output_text, answer.status, answer.usage.total_tokens], ["Good day.", "completed", 8]);
const seen = [];
let last;
for await (const event of await openai.responses.create({ model, input: "Hello", stream: true })) { seen.push(event.type); last = event; }
assert.deepEqual([seen[0], last.type, last.response.usage.total_tokens], ["response.created", "response.completed", 8]);
const final = await openai.responses.stream({ model, input: "Hello", tools: [{ type: "function", name: "weather", parameters: { type: "object" }, strict: false }] }).finalResponse();
assert.deepEqual([final.output[0].type, final.output[0].call_id, final.output[0].arguments], ["function_call", "call-1", '{"city":"Bern"}']);
await assert.rejects(async () => { for await (const event of await openai.responses.create({ model, input: "end:missing", stream: true })) void event; }, OpenAI.APIError);
await assert.rejects(openai.responses.create({ model, input: "Hello", previous_response_id: "resp_1" }), OpenAI.BadRequestError);
const listed = [];
for await (const m of openai.models.list()) listed.push(m.id);
assert.ok(listed.includes(model), listed.join());
assert.equal((await openai.models.retrieve(model)).id, model);

// Anthropic: messages.
const message = await anthropic.messages.create({ model, max_tokens: 20, messages: messages("Hello"), metadata: { user_id: "u" } });
assert.deepEqual([message.content[0].text, message.stop_reason, message.usage.output_tokens], ["Good day.", "end_turn", 3]);
const streamed = await anthropic.messages.stream({ model, max_tokens: 20, messages: messages("Hello") }).finalMessage();
assert.deepEqual([streamed.content[0].text, streamed.stop_reason, streamed.usage.input_tokens, streamed.usage.output_tokens], ["Good day.", "end_turn", 5, 3]);
const used = await anthropic.messages.stream({ model, max_tokens: 20, messages: messages("Hello"), tools: [{ name: "weather", input_schema: { type: "object" } }] }).finalMessage();
assert.deepEqual([used.content[0].type, used.content[0].input, used.stop_reason], ["tool_use", { city: "Bern" }, "tool_use"]);
for (const end of ["reset", "missing", "error"]) {
  await assert.rejects(anthropic.messages.stream({ model, max_tokens: 20, messages: messages(`end:${end}`) }).finalMessage(), Anthropic.APIError, end);
}
await assert.rejects(anthropic.messages.create({ model, max_tokens: 20, messages: messages("end:429") }), Anthropic.RateLimitError);
await assert.rejects(anthropic.messages.create({ model: "no-such-model", max_tokens: 20, messages: messages("Hello") }), Anthropic.NotFoundError);
await assert.rejects(anthropic.messages.create({ model, max_tokens: 20, messages: [] }), Anthropic.BadRequestError);
await assert.rejects(anthropic.withOptions({ apiKey: "wrong" }).messages.create({ model, max_tokens: 20, messages: messages("Hello") }), Anthropic.AuthenticationError);
const counted = await anthropic.messages.countTokens({ model, messages: messages("Hello") });
assert.ok(counted.input_tokens > 0);
