// The library of OpenAI for JavaScript, as it comes, uploads files and runs batches on a running server, through OpenAI's own paths (/v1) and
// through Bedrock's (/openai/v1). BATHOLITH is the server's address, KEY and OTHER_KEY are keys, INPUT an S3 URI. What is wrong goes to stderr,
// and the exit code is 1.
import assert from "node:assert/strict";
import OpenAI, { toFile } from "openai";

const { BATHOLITH, KEY, OTHER_KEY, INPUT, QUICK, HELD } = process.env;
const client = (path, apiKey = KEY) => new OpenAI({ baseURL: BATHOLITH + path, apiKey, maxRetries: 0 });
const openai = client("/v1");
const line = (id, body, more = {}) => JSON.stringify({ custom_id: id, method: "POST", url: "/v1/chat/completions", body: { model: QUICK, messages: [{ role: "user", content: "Hello" }], ...body }, ...more });
const upload = async (name, ...lines) => openai.files.create({ file: await toFile(Buffer.from(lines.join("\n") + "\n"), name), purpose: "batch" });
const create = (input_file_id, more = {}, options = {}) => openai.batches.create({ input_file_id, endpoint: "/v1/chat/completions", completion_window: "24h", ...more }, options);
const ended = async (b, api = openai, states = ["completed", "failed", "expired", "cancelled"]) => {
  for (const until = Date.now() + 60_000; !states.includes(b.status); b = await api.batches.retrieve(b.id)) {
    if (Date.now() > until) throw new Error(`batch ${b.id} is still ${b.status}`);
    await new Promise((done) => setTimeout(done, 50));
  }
  return b;
};
const text = async (id, api = openai) => (await api.files.content(id)).text();
const rows = async (id) => (await text(id)).trimEnd().split("\n").map((l) => JSON.parse(l));
const fails = (promise, kind, code) => assert.rejects(promise, (e) => { assert.ok(e instanceof kind, String(e)); if (code) assert.equal(e.code, code, e.message); return true; });

// Files.
const file = await upload("my batch.jsonl", line("a"), line("b"), line("ü \"c\"", { max_tokens: 7 }), line("bad", { messages: 3 }));
assert.deepEqual([file.object, file.purpose, file.filename, file.status], ["file", "batch", "my batch.jsonl", "processed"]);
assert.deepEqual(await openai.files.retrieve(file.id), file);
assert.equal((await text(file.id)).split("\n").length, 5);
await fails(openai.files.create({ file: await toFile(Buffer.from("x"), "x.jsonl"), purpose: "fine-tune" }), OpenAI.BadRequestError);
await fails(openai.files.create({ file: await toFile(Buffer.from(""), "x.jsonl"), purpose: "batch" }), OpenAI.BadRequestError, "empty_file");
await fails(openai.files.retrieve("file-0"), OpenAI.NotFoundError);
await fails(client("/v1", "wrong").files.list(), OpenAI.AuthenticationError, "invalid_api_key");

// A batch with a record that fails: answers and errors are two files, in the order of the input.
const options = { idempotencyKey: "k-1", headers: { "Idempotency-Key": "k-1" } };
const metadata = { team: "blue", "a key": "ä value, with \"quotes\"" };
const first = await create(file.id, { metadata }, options);
assert.equal((await create(file.id, { metadata }, options)).id, first.id, "a repeated request makes no second batch");
await fails(create(file.id, {}, options), OpenAI.BadRequestError);
assert.notEqual((await ended(await create(file.id, { metadata }))).id, first.id);
const done = await ended(first);
assert.deepEqual([done.object, done.status, done.input_file_id, done.endpoint, done.completion_window, done.metadata, done.errors, done.model], ["batch", "completed", file.id, "/v1/chat/completions", "24h", metadata, null, QUICK]);
assert.deepEqual(done.request_counts, { total: 4, completed: 3, failed: 1 });
assert.deepEqual([done.usage.input_tokens, done.usage.output_tokens, done.usage.total_tokens], [15, 9, 24]);
for (const at of ["created_at", "in_progress_at", "finalizing_at", "completed_at", "expires_at"]) assert.ok(done[at] > 1.7e9, at);
for (const at of ["failed_at", "expired_at", "cancelling_at", "cancelled_at"]) assert.equal(done[at], null, at);
const answers = await rows(done.output_file_id);
assert.deepEqual(answers.map((r) => r.custom_id), ["a", "b", "ü \"c\""]);
assert.deepEqual([answers[0].error, answers[0].response.status_code, answers[0].response.body.object, answers[0].response.body.choices[0].message.content], [null, 200, "chat.completion", "Good day."]);
assert.equal(new Set(answers.map((r) => r.id)).size, 3);
assert.match(answers[0].id, /^batch_req_/);
const [bad, ...rest] = await rows(done.error_file_id);
assert.deepEqual([bad.custom_id, bad.error, bad.response.status_code, bad.response.body.error.type, rest.length], ["bad", null, 400, "invalid_request_error", 0]);
assert.match(bad.response.body.error.message, /messages/);
assert.equal((await openai.files.retrieve(done.output_file_id)).purpose, "batch_output");

// An SDK's own retry of a create whose answer was lost.
const again = await create(file.id, { metadata: { n: "1" } });
assert.equal((await create(file.id, { metadata: { n: "1" } }, { headers: { "X-Stainless-Retry-Count": "1" } })).id, again.id);
await ended(again);

// Batches that fail in their validation, with the lines.
const mixed = await ended(await create((await upload("mixed.jsonl", line("a"), line("b", { model: "gpt-4o" }), "{\"custom_id\":", line("d", {}, { url: "/v1/embeddings" }), line("e", {}, { method: "GET" }))).id));
assert.deepEqual([mixed.status, mixed.output_file_id, mixed.error_file_id, mixed.errors.object], ["failed", null, null, "list"]);
assert.deepEqual(mixed.errors.data.map((e) => [e.line, e.code, e.param]), [[2, "mismatched_model", "body.model"], [3, "invalid_json_line", null], [4, "invalid_url", "url"], [5, "invalid_method", "method"]]);
assert.match(mixed.errors.data[0].message, /one model/);
assert.ok(mixed.failed_at >= mixed.created_at);
await fails(create((await upload("none.jsonl", line("a", { model: "no-such-model" }))).id), OpenAI.BadRequestError, "model_not_found");
await fails(create((await upload("prompts.txt", "Hello")).id), OpenAI.BadRequestError, "invalid_jsonl");
await fails(create("file-nothing"), OpenAI.NotFoundError);
await fails(create(file.id, { endpoint: "/v1/moderations" }), OpenAI.BadRequestError);
await fails(create(file.id, { completion_window: "soon" }), OpenAI.BadRequestError);
await fails(create(file.id, { output_expires_after: { anchor: "created_at", seconds: 60 } }), OpenAI.BadRequestError);
await fails(create(file.id, { metadata: { ["k".repeat(65)]: "v" } }), OpenAI.BadRequestError);

// Other endpoints. All lines are of the batch's, and the model has it.
const TINY = "batholith.tiny-v1";
const at = (endpoint, ...bodies) => bodies.map((body, n) => JSON.stringify({ custom_id: `${n}`, method: "POST", url: endpoint, body: { model: TINY, ...body } }));
const over = async (endpoint, ...lines) => ended(await create((await upload("other.jsonl", ...lines)).id, { endpoint }));
const embedded = await over("/v1/embeddings", ...at("/v1/embeddings", { input: "Hello" }, { input: ["Hello", "world"], encoding_format: "base64" }, { messages: [] }));
assert.deepEqual([embedded.status, embedded.endpoint, embedded.request_counts], ["completed", "/v1/embeddings", { total: 3, completed: 2, failed: 1 }]);
const [one, two] = (await rows(embedded.output_file_id)).map((l) => l.response.body);
assert.deepEqual([one.object, one.model, one.data[0].object, two.data.length], ["list", TINY, "embedding", 2]);
assert.ok(one.usage.prompt_tokens > 0 && embedded.usage.input_tokens > 0);
const floats = new Float32Array(new Uint8Array(Buffer.from(two.data[0].embedding, "base64")).buffer);
one.data[0].embedding.forEach((x, i) => assert.ok(Math.abs(x - floats[i]) < 1e-6));
const responses = await over("/v1/responses", ...at("/v1/responses", { model: QUICK, input: "Hello" }, { model: QUICK, input: "Hello", previous_response_id: "resp_1" }));
assert.deepEqual([responses.status, responses.request_counts.completed], ["completed", 1]);
const [said] = await rows(responses.output_file_id);
assert.deepEqual([said.response.body.object, said.response.body.output[0].content[0].text], ["response", "Good day."]);
const continued = await over("/v1/completions", ...at("/v1/completions", { prompt: "Once", max_tokens: 3 }));
assert.equal((await rows(continued.output_file_id))[0].response.body.object, "text_completion");
const elsewhere = await over("/v1/embeddings", ...at("/v1/embeddings", { input: "a" }), ...at("/v1/chat/completions", { messages: [] }));
assert.deepEqual([elsewhere.status, elsewhere.errors.data.map((e) => [e.line, e.code, e.param])], ["failed", [[2, "invalid_url", "url"]]]);
const unfit = await over("/v1/embeddings", ...at("/v1/embeddings", { model: QUICK, input: "a" }));
assert.deepEqual([unfit.status, unfit.errors.data.map((e) => [e.line, e.code])], ["failed", [[1, "invalid_url"]]]);
assert.match(unfit.errors.data[0].message, /makes no embeddings/);

// A batch that is cancelled.
const held = await create((await upload("held.jsonl", line("a", { model: HELD }), line("b", { model: HELD }))).id);
await ended(held, openai, ["in_progress"]);
const cancelling = await openai.batches.cancel(held.id);
assert.ok(["cancelling", "cancelled"].includes(cancelling.status), cancelling.status);
const cancelled = await ended(cancelling);
assert.deepEqual([cancelled.status, cancelled.output_file_id, cancelled.request_counts], ["cancelled", null, { total: 2, completed: 0, failed: 2 }]);
const untried = await rows(cancelled.error_file_id);
assert.deepEqual(untried.map((l) => [l.custom_id, l.response, l.error.code]), [["a", null, "batch_cancelled"], ["b", null, "batch_cancelled"]]);
assert.match(untried[0].id, /^batch_req_/);
assert.ok(cancelled.cancelled_at >= cancelled.cancelling_at && cancelled.cancelling_at >= cancelled.created_at);
await fails(openai.batches.cancel(held.id), OpenAI.BadRequestError);
await fails(openai.batches.retrieve("batch_abc"), OpenAI.NotFoundError);

// Bedrock's path: the input is an S3 URI, the results lie beside it.
const bedrock = client("/openai/v1");
const headers = { "X-Amzn-Bedrock-RoleArn": "arn:aws:iam::000000000000:role/batholith", "X-Amzn-Bedrock-ModelId": QUICK, "X-Amzn-Bedrock-Tags": JSON.stringify([{ key: "team", value: "blue" }]) };
const request = { input_file_id: INPUT, endpoint: "/v1/chat/completions", completion_window: "24h" };
const beside = await ended(await bedrock.batches.create(request, { headers }), bedrock);
const name = INPUT.slice(INPUT.lastIndexOf("/") + 1), folder = INPUT.slice(0, INPUT.lastIndexOf("/"));
assert.deepEqual([beside.status, beside.input_file_id, beside.output_file_id, beside.error_file_id], ["completed", INPUT, `${folder}/${beside.id}/${name}.out`, `${folder}/${beside.id}/${name}.err`]);
await fails(bedrock.batches.create(request, { headers: { ...headers, "X-Amzn-Bedrock-RoleArn": "arn:aws:iam::000000000000:role/nobody" } }), OpenAI.PermissionDeniedError);
await fails(bedrock.batches.create(request, { headers: { ...headers, "X-Amzn-Bedrock-ModelId": "no-such-model" } }), OpenAI.BadRequestError, "model_not_found");
await fails(bedrock.batches.create({ ...request, input_file_id: "s3://batholith/nothing.jsonl" }), OpenAI.NotFoundError);

// Lists, page by page.
const ids = [], firstPage = await openai.batches.list({ limit: 2 });
assert.deepEqual([firstPage.data.length, firstPage.has_more, firstPage.data[0].id], [2, true, beside.id]);
for await (const b of await openai.batches.list({ limit: 2 })) ids.push(b.id);
assert.equal(new Set(ids).size, ids.length);
assert.deepEqual([ids.at(-1), ids.length], [first.id, 11]);
const names = [];
for await (const f of await openai.files.list({ limit: 2, purpose: "batch", order: "asc" })) names.push(f.filename);
assert.deepEqual(names, ["my batch.jsonl", "mixed.jsonl", "none.jsonl", "prompts.txt", ...Array(5).fill("other.jsonl"), "held.jsonl"]);
assert.equal((await openai.files.list({ purpose: "batch_output" })).data.length, 12);
await fails(openai.batches.list({ limit: 1000 }), OpenAI.BadRequestError);

// Who may not write, read or list the bucket, may not do it here.
const other = client("/v1", OTHER_KEY);
await fails(other.files.create({ file: await toFile(Buffer.from(line("a")), "x.jsonl"), purpose: "batch" }), OpenAI.PermissionDeniedError);
await fails(other.files.content(file.id), OpenAI.PermissionDeniedError);
await fails(other.files.list(), OpenAI.PermissionDeniedError);
await fails(other.files.delete(file.id), OpenAI.PermissionDeniedError);
await fails(other.batches.create({ input_file_id: file.id, endpoint: "/v1/chat/completions", completion_window: "24h" }), OpenAI.PermissionDeniedError);

// Files that expire.
const hour = { anchor: "created_at", seconds: 3600 };
const brief = await openai.files.create({ file: await toFile(Buffer.from(line("a") + "\n"), "brief.jsonl"), purpose: "batch", expires_after: hour });
assert.equal(brief.expires_at, brief.created_at + 3600);
assert.deepEqual(await openai.files.retrieve(brief.id), brief);
await fails(openai.files.create({ file: await toFile(Buffer.from("{}"), "x.jsonl"), purpose: "batch", expires_after: { ...hour, seconds: 1 } }), OpenAI.BadRequestError);
const briefly = await ended(await create(brief.id, { output_expires_after: hour }));
const made = await openai.files.retrieve(briefly.output_file_id);
assert.deepEqual([briefly.status, made.expires_at, (await rows(made.id)).length], ["completed", made.created_at + 3600, 1]);
assert.ok((await openai.files.list()).data.some((f) => f.id === made.id && f.expires_at === made.expires_at));
const spare = await openai.files.create({ file: await toFile(Buffer.from(line("a") + "\n"), "spare.jsonl"), purpose: "batch", expires_after: hour });
assert.deepEqual(await openai.files.delete(spare.id), { id: spare.id, object: "file", deleted: true });
await fails(openai.files.content(spare.id), OpenAI.NotFoundError);
