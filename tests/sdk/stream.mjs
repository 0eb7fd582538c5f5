// The AWS SDK for JavaScript v3, as it comes, reads streams of a running server: over HTTP/2 without TLS, and over HTTP/1.1.
// Settings come from the environment as AWS names them. What is wrong goes to stderr, and the exit code is 1.
import assert from "node:assert/strict";
import { BedrockRuntimeClient, ConverseStreamCommand, InvokeModelWithResponseStreamCommand, ThrottlingException } from "@aws-sdk/client-bedrock-runtime";
import { NodeHttpHandler } from "@smithy/node-http-handler";

const claude = "anthropic.claude-sonnet-4-20250514-v1:0";

async function talk(client, text, more = {}) {
  const out = await client.send(new ConverseStreamCommand({ modelId: claude, messages: [{ role: "user", content: [{ text }] }], ...more }));
  const said = { text: "", args: "", types: [] };
  try {
    for await (const event of out.stream) {
      said.types.push(Object.keys(event)[0]);
      said.text += event.contentBlockDelta?.delta.text ?? "";
      said.args += event.contentBlockDelta?.delta.toolUse?.input ?? "";
      said.stop = event.messageStop?.stopReason ?? said.stop;
      said.tokens = event.metadata?.usage.totalTokens ?? said.tokens;
    }
  } catch (e) {
    said.error = e.name;
  }
  return said;
}

for (const client of [new BedrockRuntimeClient({ maxAttempts: 1 }), new BedrockRuntimeClient({ maxAttempts: 1, requestHandler: new NodeHttpHandler() })]) {
  const whole = await talk(client, "Hello");
  assert.deepEqual(whole, {
    text: "Good day.", args: "", stop: "end_turn", tokens: 8,
    types: ["messageStart", "contentBlockDelta", "contentBlockDelta", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"],
  });
  const tool = await talk(client, "Hello", { toolConfig: { tools: [{ toolSpec: { name: "weather", inputSchema: { json: { type: "object" } } } }] } });
  assert.deepEqual([tool.args, tool.stop], ['{"city":"Bern"}', "tool_use"]);
  for (const end of ["reset", "missing", "error"]) {
    const cut = await talk(client, `end:${end}`);
    assert.deepEqual([cut.text, cut.stop, cut.error], ["Good day.", undefined, "ModelStreamErrorException"], end);
  }
  await assert.rejects(talk(client, "end:429"), ThrottlingException);

  const body = JSON.stringify({ anthropic_version: "bedrock-2023-05-31", max_tokens: 20, messages: [{ role: "user", content: "Hello" }] });
  const out = await client.send(new InvokeModelWithResponseStreamCommand({ modelId: claude, body, contentType: "application/json", accept: "application/json" }));
  assert.equal(out.contentType, "application/json");
  const chunks = [];
  for await (const event of out.body) chunks.push(JSON.parse(new TextDecoder().decode(event.chunk.bytes)));
  assert.equal(chunks.map((c) => c.delta?.text ?? "").join(""), "Good day.");
  assert.equal(chunks.at(-1)["amazon-bedrock-invocationMetrics"].outputTokenCount, 3);
  client.destroy();
}
