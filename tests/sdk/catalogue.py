"""Compares the catalogue of a server with the service model that botocore carries: every member of a model and of an inference
profile is there with its type, and every value keeps its constraints. Differences go to stderr, and the exit code is 1.

Model ids and ARNs are those of the settings, which need not be Amazon's."""

import datetime
import re
import sys

import boto3

bedrock = boto3.client("bedrock")
model = bedrock.meta.service_model
wrong = []
# What the server does not know, or what only a broken service has.
absent = {"endOfLifeTime", "legacyTime", "publicExtendedAccessTime", "errorMessage", "nextToken", "startOfLifeTime", "createdAt", "updatedAt"}
chosen = {"modelArn", "modelId"}  # the form of an operator's own names
kinds = {"string": str, "boolean": bool, "timestamp": datetime.datetime, "list": list, "structure": dict, "integer": int}


def check(where, value, shape):
    if not isinstance(value, kinds[shape.type_name]):
        wrong.append(f"{where}: {value!r} is no {shape.type_name}")
    elif shape.type_name == "structure":
        for name in value:
            if name != "ResponseMetadata" and name not in shape.members:
                wrong.append(f"{where}.{name} is not published")
        for name, inner in shape.members.items():
            if name in value:
                check(f"{where}.{name}", value[name], inner)
            elif name in shape.required_members or name not in absent:
                wrong.append(f"{where}.{name} is missing")
    elif shape.type_name == "list":
        if not shape.metadata.get("min", 0) <= len(value) <= shape.metadata.get("max", 1 << 30):
            wrong.append(f"{where}: {len(value)} elements")
        for i, element in enumerate(value):
            check(f"{where}[{i}]", element, shape.member)
    elif shape.type_name == "string":
        if getattr(shape, "enum", None) and value not in shape.enum:
            wrong.append(f"{where}: {value!r} is none of {shape.enum}")
        if not shape.metadata.get("min", 0) <= len(value) <= shape.metadata.get("max", 1 << 30):
            wrong.append(f"{where}: {value!r} has {len(value)} characters")
        pattern = shape.metadata.get("pattern")
        if pattern and where.rsplit(".", 1)[-1] not in chosen and not re.fullmatch(pattern, value):
            wrong.append(f"{where}: {value!r} is not of the form {pattern}")


def ask(operation, **members):
    name = "".join("_" + c.lower() if c.isupper() else c for c in operation)[1:]
    answer = getattr(bedrock, name)(**members)
    check(operation, answer, model.operation_model(operation).output_shape)
    return answer


models = ask("ListFoundationModels")["modelSummaries"]
for m in models:
    details = ask("GetFoundationModel", modelIdentifier=m["modelId"])["modelDetails"]
    if details != m:
        wrong.append(f"{m['modelId']}: Get and List differ: {details} {m}")
    ask("GetFoundationModelAvailability", modelId=m["modelId"])
    embeds = m["outputModalities"] == ["EMBEDDING"]
    if embeds and m["responseStreamingSupported"]:
        wrong.append(f"{m['modelId']} makes embeddings and cannot stream them")
    if "-20240307-" in m["modelId"] and m["modelLifecycle"]["startOfLifeTime"].date() != datetime.date(2024, 3, 7):
        wrong.append(f"{m['modelId']} begins to live at {m['modelLifecycle']}")
for p in ask("ListInferenceProfiles")["inferenceProfileSummaries"]:
    one = ask("GetInferenceProfile", inferenceProfileIdentifier=p["inferenceProfileId"])
    one.pop("ResponseMetadata")
    if one != p:
        wrong.append(f"{p['inferenceProfileId']}: Get and List differ: {one} {p}")
if not models:
    wrong.append("no model is listed")

print("\n".join(wrong), file=sys.stderr, end="\n" if wrong else "")
sys.exit(bool(wrong))
