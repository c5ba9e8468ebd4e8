import json
import re

import pytest

from pipeline import errors
from pipeline.errors import CommandError, PipelineError

KINDS = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_carries_what_is_shown(kind):
    error = kind("It broke.", hint="Mend it.", details="one\ntwo")
    assert isinstance(error, PipelineError)
    assert str(error) == "It broke."
    assert json.loads(json.dumps(error.as_dict())) == {
        "type": kind.__name__,
        "message": "It broke.",
        "hint": "Mend it.",
        "details": "one\ntwo",
        "exit_code": kind.exit_code,
    }


def test_only_the_message_must_be_given():
    assert (PipelineError("x").hint, PipelineError("x").details) == ("", "")
    assert CommandError("x").code is None
    assert CommandError("x", code=3).code == 3


def test_the_tree_in_the_docstring_is_the_tree():
    drawn = re.findall(r"^.*?(\w+Error)\s+(\d)?", errors.__doc__, re.MULTILINE)
    assert {name for name, _ in drawn} == set(errors.__all__)
    assert {name: int(code) for name, code in drawn if code} == {
        kind.__name__: kind.exit_code for kind in KINDS if kind.__base__ is PipelineError
    }
