// The AWS SDK for JavaScript v3, as it comes, against a running server. Settings come from the environment as AWS names them;
// QUICK, HELD and ROLE name two models and a role. What is wrong goes to stderr, and the exit code is 1.
import assert from "node:assert/strict";
import {
  BedrockClient, ConflictException, CreateModelInvocationJobCommand, GetModelInvocationJobCommand, ListModelInvocationJobsCommand,
  ListTagsForResourceCommand, ResourceNotFoundException, StopModelInvocationJobCommand, TagResourceCommand, UntagResourceCommand,
  ValidationException, AccessDeniedException, GetFoundationModelCommand, GetInferenceProfileCommand, ListFoundationModelsCommand,
  paginateListModelInvocationJobs,
} from "@aws-sdk/client-bedrock";
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { setTimeout as pause } from "node:timers/promises";

const { QUICK, HELD, ROLE, API_KEY, AWS_ENDPOINT_URL_BEDROCK } = process.env;
const s3 = new S3Client({ forcePathStyle: true });
const bedrock = new BedrockClient({});
const send = (command, client = bedrock) => client.send(command);

const job = (jobName, modelId, more = {}) => new CreateModelInvocationJobCommand({
  jobName, modelId, roleArn: ROLE,
  inputDataConfig: { s3InputDataConfig: { s3Uri: "s3://js-in/in.jsonl" } },
  outputDataConfig: { s3OutputDataConfig: { s3Uri: "s3://js-out/results/" } },
  ...more,
});
const get = (jobIdentifier) => send(new GetModelInvocationJobCommand({ jobIdentifier }));

async function until(jobArn, status) {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const now = await get(jobArn);
    if (now.status === status) return now;
    assert.ok(Date.now() < deadline, `the job is ${now.status} and not ${status}: ${now.message}`);
    await pause(20);
  }
}

async function refused(command, type, says, client = bedrock) {
  await assert.rejects(send(command, client), (e) => {
    assert.ok(typeof type === "string" ? e.name === type : e instanceof type, `${e.name}: ${e.message}`);
    assert.match(e.message, says);
    assert.match(e.$metadata.requestId, /^[0-9a-f-]{36}$/);
    return true;
  });
}

for (const Bucket of ["js-in", "js-out"]) await send(new CreateBucketCommand({ Bucket }), s3);
const lines = Array.from({ length: 100 }, (_, i) => JSON.stringify({
  recordId: `R${String(i).padStart(4, "0")}`,
  modelInput: { anthropic_version: "bedrock-2023-05-31", max_tokens: 16, messages: [{ role: "user", content: `${i}?` }] },
}) + "\n");
await send(new PutObjectCommand({ Bucket: "js-in", Key: "in.jsonl", Body: lines.join("") }), s3);

// A job from its creation to its output.
const { jobArn } = await send(job("js-quick", QUICK, { tags: [{ key: "team", value: "js" }], timeoutDurationInHours: 48 }));
assert.match(jobArn, /^arn:aws:bedrock:us-east-1:000000000000:model-invocation-job\/[a-z0-9]{12}$/);
const done = await until(jobArn, "Completed");
assert.deepEqual([done.totalRecordCount, done.processedRecordCount, done.successRecordCount, done.errorRecordCount], [100, 100, 100, 0]);
assert.ok(done.submitTime instanceof Date && done.endTime >= done.submitTime && done.lastModifiedTime >= done.submitTime);
assert.equal(done.jobExpirationTime - done.submitTime, 48 * 3600 * 1000);
assert.equal(done.message, undefined);
assert.ok(!("batholith" in done));
assert.equal(done.modelId, `arn:aws:bedrock:us-east-1::foundation-model/${QUICK}`);
assert.equal(done.modelInvocationType, "InvokeModel");
assert.equal(done.inputDataConfig.s3InputDataConfig.s3Uri, "s3://js-in/in.jsonl");
assert.equal(done.vpcConfig, undefined);
const id = jobArn.split("/")[1];
const out = await send(new GetObjectCommand({ Bucket: "js-out", Key: `results/${id}/in.jsonl.out` }), s3);
const answers = (await out.Body.transformToString()).trimEnd().split("\n").map((l) => JSON.parse(l));
assert.deepEqual(answers.map((a) => a.recordId), lines.map((l) => JSON.parse(l).recordId));
assert.equal(answers[7].modelOutput.content[0].text, "Good day.");

// Tokens and names.
const held = await send(job("js-held", HELD, { clientRequestToken: "js-token" }));
assert.equal((await send(job("js-held", HELD, { clientRequestToken: "js-token" }))).jobArn, held.jobArn);
await refused(job("js-other", HELD, { clientRequestToken: "js-token" }), ConflictException, /token/);
await refused(job("js-held", HELD), ConflictException, /The provided job name is currently in use\./);
assert.equal((await get(held.jobArn)).jobArn, (await get(held.jobArn.split("/")[1])).jobArn);

// Lists.
for (let i = 0; i < 4; i++) await send(job(`js-page-${i}`, HELD));
const names = async (query) => {
  const all = [];
  for await (const page of paginateListModelInvocationJobs({ client: bedrock, pageSize: 2 }, query)) {
    all.push(...page.invocationJobSummaries.map((j) => j.jobName));
  }
  return all;
};
assert.deepEqual(await names({ nameContains: "js-page" }), ["js-page-3", "js-page-2", "js-page-1", "js-page-0"]);
assert.deepEqual(await names({ nameContains: "js-page", sortBy: "CreationTime", sortOrder: "Ascending" }), ["js-page-0", "js-page-1", "js-page-2", "js-page-3"]);
assert.deepEqual(await names({ statusEquals: "Completed", submitTimeBefore: new Date() }), ["js-quick"]);
assert.deepEqual(await names({ submitTimeAfter: new Date(Date.now() + 3600_000) }), []);
await refused(new ListModelInvocationJobsCommand({ maxResults: 1001 }), ValidationException, /'maxResults' failed to satisfy constraint/);

// Tags.
await send(new TagResourceCommand({ resourceARN: jobArn, tags: [{ key: "more", value: "" }] }));
await send(new UntagResourceCommand({ resourceARN: jobArn, tagKeys: ["team"] }));
assert.deepEqual((await send(new ListTagsForResourceCommand({ resourceARN: jobArn }))).tags, [{ key: "more", value: "" }]);

// Stop.
const stop = (jobIdentifier) => new StopModelInvocationJobCommand({ jobIdentifier });
await send(stop(held.jobArn));
await until(held.jobArn, "Stopped");
await refused(stop(held.jobArn), ValidationException, /State was: Stopped$/);

// Refusals.
await refused(new GetModelInvocationJobCommand({ jobIdentifier: "zzzzzzzzzzzz" }), ResourceNotFoundException, /zzzzzzzzzzzz/);
await refused(job("a b", QUICK, { timeoutDurationInHours: 1 }), ValidationException, /^2 validation errors detected: Value 'a b' at 'jobName'/);
await refused(job("js", "amazon.nova-none-v1:0"), ValidationException, /Batch inference is not supported for the requested model\./);
await refused(job("js", QUICK, { roleArn: "arn:aws:iam::000000000000:role/nobody" }), AccessDeniedException, /iam:PassRole/);
const forger = new BedrockClient({ credentials: { accessKeyId: process.env.AWS_ACCESS_KEY_ID, secretAccessKey: "wrong" } });
await refused(stop("zzzzzzzzzzzz"), "InvalidSignatureException", /does not match/, forger);

// The catalogue.
assert.equal((await send(new GetFoundationModelCommand({ modelIdentifier: QUICK }))).modelDetails.modelId, QUICK);
assert.equal((await send(new ListFoundationModelsCommand({}))).modelSummaries.length, 4); // with the embedded ones
assert.equal((await send(new GetInferenceProfileCommand({ inferenceProfileIdentifier: `us.${QUICK}` }))).inferenceProfileId, `us.${QUICK}`);

// An API key in the place of a signature.
const bearer = (token) => new BedrockClient({ endpoint: AWS_ENDPOINT_URL_BEDROCK, token: { token }, authSchemePreference: ["httpBearerAuth"] });
assert.equal((await send(new GetModelInvocationJobCommand({ jobIdentifier: jobArn }), bearer(API_KEY))).jobArn, jobArn);
await refused(stop("zzzzzzzzzzzz"), "UnrecognizedClientException", /invalid/, bearer("another"));
