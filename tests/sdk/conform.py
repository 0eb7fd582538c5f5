"""Compares internal/bedrock/api.yaml with the service model that botocore carries: every operation's route, members and errors, and
every constraint of the profile "aws". Differences go to stderr, and the exit code is 1."""

import re
import sys

import botocore.session
import yaml

described = yaml.safe_load(open("../../internal/bedrock/api.yaml"))
published = botocore.session.get_session().get_service_model("bedrock")
wrong = []


def same(where, ours, theirs):
    if ours != theirs:
        wrong.append(f"{where}: {ours!r} is described, {theirs!r} is published")


def member(written):
    """Takes `Shape! always as NAME` apart."""
    m = re.fullmatch(r"(\w+)(!?)( always)?(?: as (\w+))?( ours)?", written)
    return m[1], bool(m[2]), m[4]


def structure(where, members, union, theirs):
    same(f"{where} members", sorted(members), sorted(theirs.members))
    same(f"{where} union", union, getattr(theirs, "is_tagged_union", False))
    for name, written in members.items():
        if name not in theirs.members:
            continue
        shape, required, wire = member(written)
        same(f"{where}.{name} required", required, name in theirs.required_members)
        same(f"{where}.{name} on the wire", wire or name, theirs.members[name].serialization.get("name", name))
        compare(f"{where}.{name}", shape, theirs.members[name])


def compare(where, shape, theirs):
    if shape == "Timestamp":
        same(f"{where} type", "timestamp", theirs.type_name)
    elif shape in described["strings"]:
        rule = described["strings"][shape] or {}
        rule = {**rule, **rule.get("aws", {})}
        same(f"{where} length", (rule.get("min", 0), rule.get("max", 0)), (theirs.metadata.get("min", 0), theirs.metadata.get("max", 0)))
        same(f"{where} pattern", rule.get("pattern"), theirs.metadata.get("pattern"))
    elif shape in described["enums"]:
        same(f"{where} values", described["enums"][shape]["values"], theirs.enum)
    elif shape in described["integers"]:
        rule = described["integers"][shape]
        same(f"{where} range", (rule.get("min", 0), rule.get("max", 0)), (theirs.metadata.get("min", 0), theirs.metadata.get("max", 0)))
    elif shape in described["lists"]:
        rule = described["lists"][shape]
        same(f"{where} length", (rule.get("min", 0), rule.get("max", 0)), (theirs.metadata.get("min", 0), theirs.metadata.get("max", 0)))
        compare(f"{where}.member", rule["of"], theirs.member)
    elif shape in described["structures"]:
        rule = described["structures"][shape]
        structure(where, rule["members"], rule.get("union", False), theirs)
    else:
        wrong.append(f"{where}: no shape {shape}")


def known(where, members, theirs):
    """Outputs leave members out, and constrain none: what is there must be there for Bedrock too."""
    if isinstance(members, str):
        members = described["structures"][members]["members"]
    for name, written in members.items():
        if written.endswith(" ours"):
            same(f"{where}.{name} is published", name in theirs.members, False)
            continue
        if name not in theirs.members:
            wrong.append(f"{where}.{name} is not published")
            continue
        inner, shape = theirs.members[name], member(written)[0]
        if shape in described["lists"]:
            same(f"{where}.{name} type", "list", inner.type_name)
            inner, shape = inner.member, described["lists"][shape]["of"]
        if shape in described["structures"]:
            known(f"{where}.{name}", shape, inner)
    for name in theirs.required_members:
        if name not in members:
            wrong.append(f"{where}.{name} must be answered")


common = {"ValidationException", "AccessDeniedException", "ThrottlingException", "InternalServerException"}
for name, ours in described["operations"].items():
    if ours.get("ours"):
        continue
    theirs = published.operation_model(name)
    same(f"{name} route", ours["route"], f"{theirs.http['method']} {theirs.http['requestUri']}")
    same(f"{name} errors", sorted(common | set(ours.get("errors", []))), sorted(e.name for e in theirs.error_shapes))
    structure(name, ours["input"], False, theirs.input_shape)
    known(name, ours["output"], theirs.output_shape)
    path = re.findall(r"{(\w+)}", ours["route"])
    for m, shape in theirs.input_shape.members.items():
        where = "uri" if m in path else "querystring" if ours["route"].startswith("GET") else None
        same(f"{name}.{m} travels", where, shape.serialization.get("location"))
for name, ours in described["errors"].items():
    if not ours.get("front"):
        same(f"{name} status", ours["status"], published.shape_for(name).metadata["error"]["httpStatusCode"])

print("\n".join(wrong), file=sys.stderr, end="\n" if wrong else "")
sys.exit(bool(wrong))
