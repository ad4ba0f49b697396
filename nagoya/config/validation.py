"""Pydantic's validation errors in plain words, each with the path of the key that is wrong."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from nagoya.errors import did_you_mean

_KINDS = {
    "dict_type": "a mapping of keys",
    "model_type": "a mapping of keys",
    "tuple_type": "a list",
    "list_type": "a list",
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
}
_LIMITS = {
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
}


def describe_errors(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """One line for each error, such as `containers.koji.lnks: unknown key; did you mean 'links'?`.

    `model` is the class whose validation failed; its fields are what an unknown key is compared
    with.
    """
    return [_describe(item, model) for item in error.errors()]


def _describe(item: Any, model: type[BaseModel]) -> str:
    loc, value, context = item["loc"], item["input"], item.get("ctx", {})
    match item["type"]:
        case "missing":
            loc, message = loc[:-1], f"needs '{loc[-1]}'"
        case "extra_forbidden":
            message = f"unknown key{did_you_mean(str(loc[-1]), _keys(model, loc[:-1]))}"
        case "literal_error" if loc[-1] == "[key]":
            known = re.findall(r"'([^']*)'", context["expected"])
            message = f"unknown key{did_you_mean(str(value), known)}"
        case "value_error":
            message = str(context["error"])
        case "invalid_key":
            message = f"the key {value!r} should be text; put it in quotes"
        case "string_type" if isinstance(value, bool | int | float | date):
            message = f"should be text, is {value}; put it in quotes"
        case "too_short":
            message = "should not be empty"
        case kind if kind in _LIMITS:
            message = f"should be {_LIMITS[kind].format(**context)}, is {value!r}"
        case kind:
            expected = _KINDS.get(kind) or item["msg"].removeprefix("Input should be ")
            message = f"should be {expected}, is {'empty' if value is None else repr(value)}"
    path = _path(loc)
    return f"{path}: {message}" if path else message


def _path(loc: Sequence[str | int]) -> str:
    path = ""
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path.removesuffix(".[key]")


def _keys(annotation: Any, loc: Sequence[str | int]) -> Iterable[str]:
    """The fields of the model that a path leads to; none where it leads elsewhere."""
    arguments = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return _keys(arguments[0], loc)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = {field.alias or name: field for name, field in annotation.model_fields.items()}
        if not loc:
            return fields
        return _keys(fields[str(loc[0])].annotation, loc[1:]) if loc[0] in fields else ()
    if get_origin(annotation) in (dict, Mapping, tuple, list):
        item = arguments[-1] if arguments[-1] is not ... else arguments[0]
        return _keys(item, loc[1:])
    return [key for argument in arguments for key in _keys(argument, loc)]
