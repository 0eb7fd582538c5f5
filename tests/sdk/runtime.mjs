// The AWS SDK for JavaScript v3, as it comes, calls models at a running server. Its runtime client speaks HTTP/2 without TLS.
// Settings come from the environment as AWS names them. What is wrong goes to stderr, and the exit code is 1.
import assert from "node:assert/strict";
import {
  ApplyGuardrailCommand, BedrockRuntimeClient, ConverseCommand, CountTokensCommand, InvokeModelCommand, ModelErrorException,
  ModelNotReadyException, ResourceNotFoundException, ThrottlingException, ValidationException,
} from "@aws-sdk/client-bedrock-runtime";

const claude = "anthropic.claude-sonnet-4-20250514-v1:0";
const client = new BedrockRuntimeClient({ maxAttempts: 1 });
const send = (command) => client.send(command);
const say = (text, more = {}) => new ConverseCommand({ modelId: claude, messages: [{ role: "user", content: [{ text }] }], ...more });

async function refused(command, type, says) {
  await assert.rejects(send(command), (e) => {
    assert.ok(e instanceof type, `${e.name}: ${e.message}`);
    assert.match(e.message, says);
    return true;
  });
}

const invoke = async (modelId, body) => {
  const out = await send(new InvokeModelCommand({ modelId, body: JSON.stringify(body), contentType: "application/json", accept: "application/json" }));
  assert.equal(out.contentType, "application/json");
  return JSON.parse(new TextDecoder().decode(out.body));
};
const question = { anthropic_version: "bedrock-2023-05-31", max_tokens: 20, messages: [{ role: "user", content: "Hello" }] };
assert.equal((await invoke(claude, question)).content[0].text, "Good day.");
assert.equal((await invoke(`arn:aws:bedrock:us-east-1::foundation-model/${claude}`, question)).stop_reason, "end_turn");
assert.equal((await invoke("amazon.nova-lite-v1:0", { messages: [{ role: "user", content: [{ text: "Hello" }] }] })).output.message.content[0].text, "Good day.");
assert.equal((await invoke("meta.llama3-1-8b-instruct-v1:0", { prompt: "Hello" })).generation, "Good day.");

const all = await Promise.all(Array.from({ length: 30 }, () => send(say("Hello")))); // on one connection
for (const out of all) assert.deepEqual([out.output.message.content[0].text, out.usage.totalTokens, out.stopReason], ["Good day.", 8, "end_turn"]);

const tool = await send(say("How is the weather?", { toolConfig: { tools: [{ toolSpec: { name: "weather", inputSchema: { json: { type: "object" } } } }] } }));
assert.equal(tool.stopReason, "tool_use");
assert.deepEqual(tool.output.message.content[0].toolUse, { toolUseId: "call-1", name: "weather", input: { city: "Bern" } });

const counted = await send(new CountTokensCommand({ modelId: claude, input: { converse: { messages: [{ role: "user", content: [{ text: "Hello" }] }] } } }));
assert.equal(counted.inputTokens, 17);

await refused(say("fail:400"), ValidationException, /the server's words/);
await refused(say("fail:500"), ModelErrorException, /the server's words/);
await refused(say("fail:429"), ThrottlingException, /the server's words/);
await refused(say("Hello", { modelId: "mistral.away-v1:0" }), ModelNotReadyException, /not ready/);
await refused(say("Hello", { modelId: "no.such-model" }), ResourceNotFoundException, /no\.such-model/);
await refused(new ApplyGuardrailCommand({ guardrailIdentifier: "abcdefghijkl", guardrailVersion: "1", source: "INPUT", content: [] }), ValidationException, /no guardrails/);
client.destroy();
