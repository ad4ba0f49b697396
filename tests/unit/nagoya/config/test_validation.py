"""Pydantic's errors in plain words, for any model."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nagoya.config.validation import describe_errors


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Rule(Strict):
    action: str
    weight: Annotated[int, Field(ge=1, le=9)] = 1


class User(Strict):
    type: Literal["user"] = "user"
    name: str
    permissions: tuple[str, ...] = Field(default=(), min_length=1)
    rules: dict[str, Rule] | None = None
    nested: list[Annotated[Rule, "note"]] = []
    limit: float = 1.0


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "needs 'name'"),
        ({"name": "x", "permission": []}, "permission: unknown key; did you mean 'permissions'?"),
        ({"name": "x", "zzz": 1}, "zzz: unknown key"),
        ({"name": "x", "permissions": "a"}, "permissions: should be a list, is 'a'"),
        ({"name": "x", "permissions": []}, "permissions: should not be empty"),
        ({"name": 3}, "name: should be text, is 3; put it in quotes"),
        ({"name": None}, "name: should be text, is empty"),
        ({"name": "x", "type": "tga"}, "type: should be 'user', is 'tga'"),
        ({"name": "x", "limit": "a"}, "limit: should be a number, is 'a'"),
        ({"name": "x", "rules": {"a": {}}}, "rules.a: needs 'action'"),
        (
            {"name": "x", "rules": {"a": {"action": "b", "wait": 1}}},
            "rules.a.wait: unknown key; did you mean 'weight'?",
        ),
        (
            {"name": "x", "nested": [{"action": "b"}, {"acton": "b", "action": "c"}]},
            "nested[1].acton: unknown key; did you mean 'action'?",
        ),
        (
            {"name": "x", "nested": [{"action": "b", "weight": 10}]},
            "nested[0].weight: should be at most 9, is 10",
        ),
        (3, "should be a mapping of keys, is 3"),
    ],
)
def test_each_error_in_plain_words(value: Any, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        User.model_validate(value)
    assert describe_errors(caught.value, User) == [message]
