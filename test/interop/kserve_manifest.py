"""Checks manifests of KServe with the models of its Python package: kinds, keys and types."""

import json
import re
import sys

import kserve
import kubernetes.client

ROOTS = {
    "ClusterServingRuntime": kserve.V1alpha1ClusterServingRuntime,
    "InferenceService": kserve.V1beta1InferenceService,
}
PLAIN = {"str": str, "bool": bool, "int": int, "object": object, "datetime": str}


def model_of(name):
    return getattr(kserve, name, None) or getattr(kubernetes.client, name, None)


def check(value, kind, place):
    """Returns the problems of a value that must be of a type, which is named as in the models."""
    listed = re.fullmatch(r"[Ll]ist\[(.+)\]", kind)
    mapped = re.fullmatch(r"[Dd]ict\(str, (.+)\)", kind) or re.fullmatch(r"[Dd]ict\[str, (.+)\]", kind)
    if listed:
        if not isinstance(value, list):
            return [f"{place} is not a list"]
        return [p for i, v in enumerate(value) for p in check(v, listed[1], f"{place}[{i}]")]
    if mapped:
        if not isinstance(value, dict):
            return [f"{place} is not a map"]
        return [p for k, v in value.items() for p in check(v, mapped[1], f"{place}.{k}")]
    if kind in PLAIN:
        return [] if isinstance(value, PLAIN[kind]) else [f"{place} is not of type {kind}"]
    model = model_of(kind)
    if model is None:
        # Numbers with a unit, ports by number or name, and others that are plain values.
        return [] if isinstance(value, (str, int, float)) else [f"{place}: unknown type {kind}"]
    if not isinstance(value, dict):
        return [] if isinstance(value, (str, int)) and not model.openapi_types else [f"{place} is not an object"]
    keys = {key: name for name, key in model.attribute_map.items()}
    problems = []
    for key, part in value.items():
        if key not in keys:
            problems.append(f"{place} has the unknown key {key}")
        else:
            problems += check(part, model.openapi_types[keys[key]], f"{place}.{key}")
    return problems


problems = []
for document in json.load(sys.stdin):
    root = ROOTS.get(document["kind"])
    if root is None:
        problems.append(f"unknown kind {document['kind']}")
    else:
        problems += check(document, root.__name__, document["kind"])
print(json.dumps(problems))
