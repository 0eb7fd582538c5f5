"""The two waiters of Airflow's operator and sensor for batch inference, played with botocore's own engine: one waits until a job is
scheduled, the other until it is complete. A status outside of their tables would be waited for until their patience is over. What is
wrong goes to stderr as a traceback, and the exit code is 1."""

import os

import boto3
from botocore.exceptions import ClientError, WaiterError
from botocore.waiter import WaiterModel, create_waiter_with_client

QUICK, HELD, ROLE, INPUT, OUTPUT = (os.environ[name] for name in ("QUICK", "HELD", "ROLE", "INPUT", "OUTPUT"))
bedrock = boto3.client("bedrock")

going = ["Submitted", "Validating", "InProgress"]
over = ["Failed", "Stopped", "PartiallyCompleted", "Expired"]
tables = {
    "scheduled": {"success": ["Scheduled", "Completed"], "failure": over, "retry": going + ["Stopping"]},
    "complete": {"success": ["Completed"], "failure": over + ["Stopping"], "retry": going + ["Scheduled"]},
}
waiters = WaiterModel({"version": 2, "waiters": {name: {
    "operation": "GetModelInvocationJob", "delay": 1, "maxAttempts": 100,
    "acceptors": [{"matcher": "path", "argument": "status", "expected": s, "state": state} for state, all in table.items() for s in all],
} for name, table in tables.items()}})


def wait(name, job):
    create_waiter_with_client(name, waiters, bedrock).wait(jobIdentifier=job, WaiterConfig={"Delay": 0.1, "MaxAttempts": 3000})


def create(name, model, source=INPUT):
    return bedrock.create_model_invocation_job(
        jobName=name, modelId=model, roleArn=ROLE,
        inputDataConfig={"s3InputDataConfig": {"s3Uri": source}}, outputDataConfig={"s3OutputDataConfig": {"s3Uri": OUTPUT}})["jobArn"]


def fails(name, job, status):
    try:
        wait(name, job)
    except WaiterError as e:
        assert e.last_response["status"] == status, e.last_response
    else:
        raise AssertionError(f"the waiter {name} took {status} for a success")


# A job whose model does not answer is seen as scheduled; the operator's clean-up stops it, and takes what is over for stopped.
job = create("airflow-held", HELD)
wait("scheduled", job)
bedrock.stop_model_invocation_job(jobIdentifier=job)
wait_over = create_waiter_with_client("over", WaiterModel({"version": 2, "waiters": {"over": {
    "operation": "GetModelInvocationJob", "delay": 1, "maxAttempts": 3000,
    "acceptors": [{"matcher": "path", "argument": "status", "expected": "Stopped", "state": "success"}]}}}), bedrock)
wait_over.wait(jobIdentifier=job, WaiterConfig={"Delay": 0.1, "MaxAttempts": 3000})
fails("scheduled", job, "Stopped")
fails("complete", job, "Stopped")

job = create("airflow-quick", QUICK)
wait("complete", job)
wait("scheduled", job)
try:
    bedrock.stop_model_invocation_job(jobIdentifier=job)
    raise AssertionError("a job that is complete was stopped")
except ClientError as e:
    said = e.response["Error"]
    assert said["Code"] == "ValidationException" and "State was: Completed" in said["Message"], said

fails("complete", create("airflow-broken", QUICK, "s3://nowhere/"), "Failed")
