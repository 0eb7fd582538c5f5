"""boto3, as it comes, calls models at a running server.

Settings come from the environment as AWS names them. What is wrong goes to stderr as a traceback, and the exit code is 1.
"""

import json
import os
import re

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

CLAUDE = "anthropic.claude-sonnet-4-20250514-v1:0"
once = Config(retries={"total_max_attempts": 1})
runtime = boto3.client("bedrock-runtime", config=once)


def equal(got, want):
    assert got == want, f"got {got!r}, want {want!r}"


def refused(code, says, call, **kwargs):
    try:
        got = call(**kwargs)
    except ClientError as e:
        said = e.response["Error"]
        assert said["Code"] == code and re.search(says, said["Message"]), f"got {said}, want {code}: {says}"
        assert type(e).__name__ == code, type(e)
        return e.response
    raise AssertionError(f"got {got}, want {code}: {says}")


def invoke(model, body, **more):
    out = runtime.invoke_model(modelId=model, body=json.dumps(body), **more)
    equal(out["contentType"], "application/json")
    headers = out["ResponseMetadata"]["HTTPHeaders"]
    assert int(headers["x-amzn-bedrock-invocation-latency"]) >= 0, headers
    return json.loads(out["body"].read())


question = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 20, "messages": [{"role": "user", "content": "Hello"}]}
equal(invoke(CLAUDE, question)["content"], [{"type": "text", "text": "Good day."}])
equal(invoke("us." + CLAUDE, question, accept="application/json", contentType="application/json", trace="DISABLED")["usage"]["input_tokens"], 5)
equal(invoke("arn:aws:bedrock:us-east-1::foundation-model/" + CLAUDE, question, performanceConfigLatency="optimized")["stop_reason"], "end_turn")
equal(invoke("amazon.nova-lite-v1:0", {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]})["stopReason"], "end_turn")
equal(invoke("meta.llama3-1-8b-instruct-v1:0", {"prompt": "Hello"})["generation"], "Good day.")
equal(len(invoke("amazon.titan-embed-text-v2:0", {"inputText": "Hello"})["embedding"]), 1024)


def say(text, model=CLAUDE, **more):
    return dict(modelId=model, messages=[{"role": "user", "content": [{"text": text}]}], **more)


out = runtime.converse(**say("Hello", inferenceConfig={"maxTokens": 20}))
equal((out["output"]["message"]["content"], out["usage"]["totalTokens"], out["stopReason"]), ([{"text": "Good day."}], 8, "end_turn"))
tools = {"tools": [{"toolSpec": {"name": "weather", "inputSchema": {"json": {"type": "object"}}}}]}
out = runtime.converse(**say("How is the weather?", toolConfig=tools))
equal(out["output"]["message"]["content"], [{"toolUse": {"toolUseId": "call-1", "name": "weather", "input": {"city": "Bern"}}}])
equal(out["stopReason"], "tool_use")
equal(runtime.count_tokens(modelId=CLAUDE, input={"converse": {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]}})["inputTokens"], 17)
equal(runtime.count_tokens(modelId=CLAUDE, input={"invokeModel": {"body": json.dumps(question).encode()}})["inputTokens"], 17)

store = boto3.client("s3")
store.put_object(Bucket="batholith", Key="calls/photo.png", Body=b"\x89PNG\r\n\x1a\nphoto")
store.put_object(Bucket="batholith", Key="calls/note.txt", Body=b"the text of a note")


def look(key):
    return dict(modelId=CLAUDE, messages=[{"role": "user", "content": [
        {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://batholith/" + key}}}},
        {"document": {"format": "txt", "name": "note", "source": {"s3Location": {"uri": "s3://batholith/calls/note.txt"}}}}, {"text": "What do you see?"}]}])


equal(runtime.converse(**look("calls/photo.png"))["output"]["message"]["content"], [{"text": "I see both."}])
refused("ValidationException", "there is no object", runtime.converse, **look("calls/none.png"))

refused("ValidationException", "the server's words", runtime.converse, **say("fail:400"))
failed = refused("ModelErrorException", "the server's words", runtime.converse, **say("fail:500"))
equal((failed["originalStatusCode"], failed["resourceName"]), (500, "arn:aws:bedrock:us-east-1::foundation-model/" + CLAUDE))
refused("ModelTimeoutException", "the server's words", runtime.converse, **say("fail:504"))
refused("ThrottlingException", "the server's words", runtime.converse, **say("fail:429"))
refused("ModelNotReadyException", "not ready", runtime.converse, **say("Hello", "mistral.away-v1:0"))
refused("ResourceNotFoundException", "no.such-model", runtime.converse, **say("Hello", "no.such-model"))
refused("ValidationException", "does not apply guardrails", runtime.invoke_model, modelId=CLAUDE, body="{}", guardrailIdentifier="abcdefghijkl", guardrailVersion="1")
refused("ValidationException", "no guardrails", runtime.apply_guardrail, guardrailIdentifier="abcdefghijkl", guardrailVersion="1", source="INPUT", content=[])
refused("ValidationException", "batch job", runtime.list_async_invokes)

other = boto3.Session(aws_access_key_id="AKOTHER", aws_secret_access_key="othersecret").client("bedrock-runtime", config=once)
refused("AccessDeniedException", "bedrock:InvokeModel", other.invoke_model, modelId="amazon.nova-lite-v1:0", body="{}")
equal(other.invoke_model(modelId=CLAUDE, body=json.dumps(question))["ResponseMetadata"]["HTTPStatusCode"], 200)

os.environ["AWS_BEARER_TOKEN_BEDROCK"] = os.environ["API_KEY"]
for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
    del os.environ[name]
equal(boto3.Session().client("bedrock-runtime", config=once).converse(**say("Hello"))["stopReason"], "end_turn")
