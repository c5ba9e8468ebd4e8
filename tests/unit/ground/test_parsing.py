"""What tables and variables may say of hooks, labels and the webhook, and what they may not."""

import re

import pytest

from pipeline import parsing
from pipeline.parsing import Hooks
from pipeline.settings import Settings

LABELS = Settings.__dataclass_fields__["runner_labels"].metadata["parse"]


@pytest.mark.parametrize("given", ["ops/dump --all 'a b'", ["ops/dump --all 'a b'"]])
def test_a_command_or_a_list_of_them(given):
    found = parsing.hooks({"pre-deploy": given})
    assert found == Hooks(pre_deploy=(("ops/dump", "--all", "a b"),))


def test_each_hook_has_its_place():
    names = ("pre-build", "pre-deploy", "post-deploy", "on-failure")
    found = parsing.hooks({name: [name, f"{name} again"] for name in names})
    assert [commands[1] for commands in vars(found).values()] == [(name, "again") for name in names]


def test_of_a_variable_the_table_is_json():
    assert parsing.hooks('{"on-failure": ["tell me"]}') == Hooks(on_failure=(("tell", "me"),))
    assert parsing.hooks("{}") == Hooks()


def test_no_shell_is_meant():
    (command,) = parsing.hooks({"pre-build": "a $HOME && b > c; d `e`"}).pre_build
    assert command == ("a", "$HOME", "&&", "b", ">", "c;", "d", "`e`")


def test_what_is_set_can_be_shown_and_read_again():
    found = parsing.hooks({"pre-deploy": ["a 'b c'"], "on-failure": "d"})
    assert parsing.hooks(str(found).replace("_", "-")) == found
    assert str(Hooks()) == ""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("not json", "is not JSON"),
        ("[1]", "is not a table of pre-build, pre-deploy, post-deploy, on-failure"),
        ("null", "is not a table"),
        (True, "is not a table"),
        (["a"], "is not a table"),
        ({"pre_deploy": "a"}, "is not a table of pre-build"),
        ({"pre-party": "a"}, "pre-party"),
        ({"pre-deploy": 5}, "5 is not a list of commands"),
        ({"pre-deploy": {"run": "a"}}, "is not a list of commands"),
        ({"pre-deploy": ["a", 5]}, "is not a list of commands"),
        ({"pre-deploy": [["a", "b"]]}, "is not a list of commands"),
        ({"pre-deploy": ""}, "'' is not a command"),
        ({"pre-deploy": [" "]}, "' ' is not a command"),
        ({"pre-deploy": ["# all of it"], "on-failure": "it's"}, "No closing quotation"),
        ({"on-failure": "a\0b"}, "is not a command"),
    ],
)
def test_what_is_no_table_of_commands_is_refused(given, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        parsing.hooks(given)


def test_the_address_of_a_webhook_is_a_secret_from_the_start():
    found = parsing.web_address("https://hooks.example.org/services/T0/B0/sentinel")
    assert "sentinel" not in f"{found} {found!r}"
    assert found.reveal().endswith("sentinel")
    assert not parsing.web_address("")


@pytest.mark.parametrize("given", ["ftp://sentinel", "sentinel", "https://a sentinel", 5, None])
def test_what_is_no_address_is_refused_and_not_shown(given):
    with pytest.raises(ValueError, match="not an http") as caught:
        parsing.web_address(given)
    assert "sentinel" not in str(caught.value)


@pytest.mark.parametrize("given", ["gpu,big-one", [" gpu", "big-one "], "gpu,,big-one"])
def test_labels_are_a_list_or_have_commas(given):
    assert LABELS(given) == ("gpu", "big-one")


@pytest.mark.parametrize("given", [5, [5], "a b", "-x", "a" * 65])
def test_what_is_no_label_is_refused(given):
    with pytest.raises(ValueError, match="label"):
        LABELS(given)
