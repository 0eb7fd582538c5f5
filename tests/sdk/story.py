"""boto3, as it comes, against a running server.

Settings come from the environment as AWS names them; QUICK, HELD and ROLE name two models and a role. What is wrong goes to
stderr as a traceback, and the exit code is 1.
"""

import datetime
import json
import os
import re
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

QUICK, HELD, ROLE = (os.environ[name] for name in ("QUICK", "HELD", "ROLE"))
once = Config(retries={"max_attempts": 0})
s3 = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
bedrock = boto3.client("bedrock", config=once)


def equal(got, want):
    assert got == want, f"got {got!r}, want {want!r}"


def create(name, model, **more):
    return bedrock.create_model_invocation_job(**{
        "jobName": name, "modelId": model, "roleArn": ROLE,
        "inputDataConfig": {"s3InputDataConfig": {"s3InputFormat": "JSONL", "s3Uri": "s3://py-in/"}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://py-out"}},
        **more,
    })["jobArn"]


def get(job):
    return bedrock.get_model_invocation_job(jobIdentifier=job)


def until(job, status):
    deadline = time.monotonic() + 60
    while (now := get(job))["status"] != status:
        assert time.monotonic() < deadline, f"the job is {now['status']} and not {status}: {now.get('message')}"
        time.sleep(0.02)
    return now


def refused(code, says, call, *args, **kwargs):
    try:
        got = call(*args, **kwargs)
    except ClientError as e:
        said = e.response["Error"]
        assert said["Code"] == code and re.search(says, said["Message"]), f"got {said}, want {code}: {says}"
        assert re.fullmatch("[0-9a-f-]{36}", e.response["ResponseMetadata"]["RequestId"]), e.response
        if hasattr(bedrock.exceptions, code):
            assert isinstance(e, getattr(bedrock.exceptions, code)), type(e)
    else:
        raise AssertionError(f"got {got}, want {code}: {says}")


for bucket in ("py-in", "py-out"):
    s3.create_bucket(Bucket=bucket)
inputs = [{"recordId": f"R{i:04}", "modelInput": {
    "anthropic_version": "bedrock-2023-05-31", "max_tokens": 16, "messages": [{"role": "user", "content": f"{i}?"}]}} for i in range(100)]
s3.put_object(Bucket="py-in", Key="deep/in.jsonl", Body="".join(json.dumps(r) + "\n" for r in inputs).encode())

# A job from its creation to its output.
arn = create("py-quick", "us." + QUICK, tags=[{"key": "team", "value": "py"}])
done = until(arn, "Completed")
equal([done[k + "RecordCount"] for k in ("total", "processed", "success", "error")], [100, 100, 100, 0])
assert done["endTime"] >= done["submitTime"] and done["submitTime"].tzinfo is not None, done
equal(done["jobExpirationTime"] - done["submitTime"], datetime.timedelta(hours=24))
assert "message" not in done and "batholith" not in done, done
equal(done["ResponseMetadata"]["HTTPHeaders"]["x-batholith-note"], "Every record was processed.")
equal((done["modelId"], done["modelInvocationType"], "vpcConfig" in done), ("us." + QUICK, "InvokeModel", False))
job_id = arn.split("/")[1]
keys = [o["Key"] for o in s3.list_objects_v2(Bucket="py-out")["Contents"]]
equal(keys, [f"{job_id}/deep/in.jsonl.out", f"{job_id}/manifest.json.out"])
outputs = [json.loads(line) for line in s3.get_object(Bucket="py-out", Key=keys[0])["Body"].iter_lines()]
equal([{k: o[k] for k in ("recordId", "modelInput")} for o in outputs], inputs)
equal(outputs[7]["modelOutput"]["content"], [{"type": "text", "text": "Good day."}])
manifest = json.loads(s3.get_object(Bucket="py-out", Key=keys[1])["Body"].read())
equal((manifest["successRecordCount"], manifest["outputTokenCount"]), (100, 300))

# Tokens and names.
held = create("py-held", HELD, clientRequestToken="py-token")
equal(create("py-held", HELD, clientRequestToken="py-token"), held)
refused("ConflictException", "token", create, "py-other", HELD, clientRequestToken="py-token")
refused("ConflictException", r"The provided job name is currently in use\.", create, "py-held", HELD)
equal(get(held)["jobArn"], get(held.split("/")[1])["jobArn"])
equal(get(held)["modelId"], "arn:aws:bedrock:us-east-1::foundation-model/" + HELD)

# Lists.
for i in range(4):
    create(f"py-page-{i}", HELD)


def names(**query):
    pages = bedrock.get_paginator("list_model_invocation_jobs").paginate(**query, PaginationConfig={"PageSize": 2})
    return [j["jobName"] for page in pages for j in page["invocationJobSummaries"]]


equal(names(nameContains="py-page"), ["py-page-3", "py-page-2", "py-page-1", "py-page-0"])
equal(names(nameContains="py-page", sortOrder="Ascending"), ["py-page-0", "py-page-1", "py-page-2", "py-page-3"])
now = datetime.datetime.now(datetime.timezone.utc)
equal(names(statusEquals="Completed", submitTimeBefore=now, submitTimeAfter=now - datetime.timedelta(hours=1)), ["py-quick"])
equal(names(submitTimeAfter=now + datetime.timedelta(hours=1)), [])
refused("ValidationException", "'maxResults' failed to satisfy constraint", bedrock.list_model_invocation_jobs, maxResults=1001)

# Tags.
bedrock.tag_resource(resourceARN=arn, tags=[{"key": "more", "value": ""}])
bedrock.untag_resource(resourceARN=arn, tagKeys=["team"])
equal(bedrock.list_tags_for_resource(resourceARN=arn)["tags"], [{"key": "more", "value": ""}])

# Stop.
bedrock.stop_model_invocation_job(jobIdentifier=held)
until(held, "Stopped")
refused("ValidationException", "State was: Stopped$", bedrock.stop_model_invocation_job, jobIdentifier=held)

# Refusals.
refused("ResourceNotFoundException", "zzzzzzzzzzzz", get, "zzzzzzzzzzzz")
refused("ValidationException", "^2 validation errors detected: Value 'a b' at 'jobName'", create, "a b", QUICK, timeoutDurationInHours=999)
refused("ValidationException", r"Batch inference is not supported for the requested model\.", create, "py", "amazon.nova-none-v1:0")
refused("AccessDeniedException", "iam:PassRole", create, "py", QUICK, roleArn="arn:aws:iam::000000000000:role/nobody")
forger = boto3.client("bedrock", aws_secret_access_key="wrong", aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"], config=once)
refused("InvalidSignatureException", "does not match", forger.list_model_invocation_jobs)

# The catalogue.
equal(bedrock.get_foundation_model(modelIdentifier=QUICK)["modelDetails"]["modelId"], QUICK)
equal(len(bedrock.list_foundation_models()["modelSummaries"]), 4)  # with the embedded ones
equal([p["inferenceProfileId"] for p in bedrock.list_inference_profiles()["inferenceProfileSummaries"]], ["us." + QUICK])

# An API key in the place of a signature.
os.environ["AWS_BEARER_TOKEN_BEDROCK"] = os.environ["API_KEY"]
equal(boto3.Session().client("bedrock").get_model_invocation_job(jobIdentifier=arn)["jobArn"], arn)
os.environ["AWS_BEARER_TOKEN_BEDROCK"] = "another"
refused("UnrecognizedClientException", "invalid", boto3.Session().client("bedrock", config=once).list_model_invocation_jobs)
