"""boto3, as it comes, reads streams of a running server.

Settings come from the environment as AWS names them. What is wrong goes to stderr as a traceback, and the exit code is 1.
"""

import json

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

CLAUDE = "anthropic.claude-sonnet-4-20250514-v1:0"
runtime = boto3.client("bedrock-runtime", config=Config(retries={"total_max_attempts": 1}))


def equal(got, want):
    assert got == want, f"got {got!r}, want {want!r}"


def talk(text, **more):
    out = runtime.converse_stream(modelId=CLAUDE, messages=[{"role": "user", "content": [{"text": text}]}], **more)
    said = {"text": "", "args": "", "stop": None, "tokens": None, "error": None}
    try:
        for event in out["stream"]:
            delta = event.get("contentBlockDelta", {}).get("delta", {})
            said["text"] += delta.get("text", "")
            said["args"] += delta.get("toolUse", {}).get("input", "")
            said["stop"] = event.get("messageStop", {}).get("stopReason", said["stop"])
            said["tokens"] = event.get("metadata", {}).get("usage", {}).get("totalTokens", said["tokens"])
    except EventStreamError as e:
        said["error"] = e.response["Error"]["Code"]
    return said


equal(talk("Hello"), {"text": "Good day.", "args": "", "stop": "end_turn", "tokens": 8, "error": None})
tool = talk("Hello", toolConfig={"tools": [{"toolSpec": {"name": "weather", "inputSchema": {"json": {"type": "object"}}}}]})
equal((tool["args"], tool["stop"]), ('{"city":"Bern"}', "tool_use"))
for end in ("reset", "missing", "error"):
    cut = talk("end:" + end)
    equal((cut["text"], cut["stop"], cut["error"]), ("Good day.", None, "modelStreamErrorException"))
try:
    talk("end:429")
    raise AssertionError("no error")
except ClientError as e:
    equal(e.response["Error"]["Code"], "ThrottlingException")

for model, body, text in (
    (CLAUDE, {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 20, "messages": [{"role": "user", "content": "Hello"}]}, lambda c: c.get("delta", {}).get("text", "")),
    ("meta.llama3-1-8b-instruct-v1:0", {"prompt": "Hello"}, lambda c: c["generation"]),
):
    out = runtime.invoke_model_with_response_stream(modelId=model, body=json.dumps(body))
    equal(out["contentType"], "application/json")
    chunks = [json.loads(event["chunk"]["bytes"]) for event in out["body"]]
    equal("".join(text(c) for c in chunks), "Good day.")
    equal(chunks[-1]["amazon-bedrock-invocationMetrics"]["inputTokenCount"], 5)
