import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import UnavailableError, UsageError
from pipeline.release import env

KEYS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True)
VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")) | st.text(
    "\\'\"$#{}\n\r =a"
)


def parse(text, **options):
    return env.parse(text, name="the env file", **options)


def restore(text, **options):
    return env.restore(text, name="the snapshot", **options)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=1", "1"),
        ("export A=1", "1"),
        ("  A = 1  ", "1"),
        ("A=", ""),
        ("A=a b", "a b"),
        ("A=a # said", "a"),
        ("A=a#b", "a#b"),
        ("A='a # b'", "a # b"),
        ('A="a # b"', "a # b"),
        ("A=a=b", "a=b"),
        ("A=$HOME", "$HOME"),
        ("A=${HOME}", "${HOME}"),
        ('A="$HOME"', "$HOME"),
        (r"A=a\nb", r"a\nb"),
        (r"A='a\nb'", r"a\nb"),
        (r'A="a\nb"', "a\nb"),
        (r"A='it\'s'", "it's"),
        (r'A="\"x\" \\ y"', r'"x" \ y'),
        ('A="two\nlines"', "two\nlines"),
        ("A='two\r\nlines'", "two\nlines"),
        ("A=1\r", "1"),
        ("A=zoë ☃", "zoë ☃"),
    ],
)
def test_a_value_is_what_stands_there(line, value):
    assert parse(f"{line}\nLAST=x\n") == {"A": value, "LAST": "x"}


def test_comments_and_empty_lines_say_nothing():
    assert parse("\n# A=1\n\n  # B=2\nC=3\n\n") == {"C": "3"}


def test_the_last_of_two_wins():
    assert parse("A=1\nA=2\n") == {"A": "2"}


def test_a_file_as_windows_saves_it():
    assert parse("\ufeffA=1\r\nB='2'\r\n") == {"A": "1", "B": "2"}


@pytest.mark.parametrize(
    "line",
    [
        "sentinel",
        "sentinel value",
        "B: sentinel",
        "B='sentinel",
        'B="sentinel',
        "B='sentinel' more",
        "=sentinel",
        "B-C=sentinel",
        "1B=sentinel",
        "B\u00e9=sentinel",
        "B=sentinel\0",
        "B=sentinel\udcff",
        "export B",
    ],
)
def test_what_is_malformed_is_refused_by_its_line_without_its_value(line):
    with pytest.raises(UsageError, match="the env file is malformed at line 2") as caught:
        parse(f"A=1\n{line}\n")
    assert "sentinel" not in str(caught.value.as_dict())
    assert caught.value.exit_code == 2
    assert caught.value.hint


def test_every_missing_key_is_named():
    with pytest.raises(UsageError, match="lacks a value for A, C") as caught:
        parse("A=\nB=1\n", required=("C", "B", "A"))
    assert "required_env" in caught.value.hint


def test_required_keys_that_are_there():
    assert parse("A=1\n", required=("A",)) == {"A": "1"}


def test_read(tmp_path):
    file = tmp_path / "env"
    file.write_text("A=1\n")
    assert env.read(file) == {"A": "1"}
    with pytest.raises(UsageError, match="lacks a value for B"):
        env.read(file, required=("B",))


def test_read_keeps_line_ends_that_are_escaped(tmp_path):
    file = tmp_path / "env"
    file.write_bytes(b'A="a\\r\\nb"\r\n')
    assert env.read(file) == {"A": "a\r\nb"}


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match=r"cannot be read: No such file") as caught:
        env.read(tmp_path / "nix")
    assert ".env.example" in caught.value.hint


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(UsageError, match="Is a directory"):
        env.read(tmp_path)


def test_a_file_that_is_not_text(tmp_path):
    file = tmp_path / "env"
    file.write_bytes(b"A=\xff\xfe\n")
    with pytest.raises(UsageError, match=r"is not UTF-8 text \(byte 2\)"):
        env.read(file)


@settings(max_examples=50)
@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_a_snapshot_brings_back_the_values(values):
    assert restore(env.render(values)) == values


def test_a_snapshot_is_sorted_and_has_a_line_each():
    assert env.render({"B": "two\nlines\\", "A": '$"'}) == 'A="$$\\""\nB="two\\nlines\\\\"\n'


def test_an_empty_snapshot():
    assert restore(env.render({})) == {}


@pytest.mark.parametrize("line", ["", "B=sentinel", "B='sentinel'", 'B="sentinel', 'B-="sentinel"'])
def test_a_damaged_snapshot_is_refused(line):
    with pytest.raises(UnavailableError, match="the snapshot is damaged at line 2") as caught:
        restore(f'A="1"\n{line}\n')
    assert "sentinel" not in str(caught.value.as_dict())


def test_a_snapshot_of_before_lacks_a_key_that_is_required_now():
    with pytest.raises(UsageError, match="the snapshot lacks a value for B"):
        restore('A="1"\n', required=("A", "B"))


def test_a_digest_tells_environments_apart():
    first = env.digest({"A": "1", "B": "2"})
    assert first == env.digest({"B": "2", "A": "1"})
    assert len({first, env.digest({"A": "1"}), env.digest({"A": "1\nB=2"})}) == 3


def revealed(**values):
    return [each.reveal() for each in env.secrets(values)]


def test_secrets_are_judged_by_their_keys():
    assert revealed(DB_PASSWORD="pw", api_token="token", DEBUG="1", SECRET_KEY="") == [
        "token",
        "pw",
    ]


def test_the_password_in_a_url_is_a_secret_of_its_own():
    url = "postgresql://panager:p%40ss@db/panager"
    assert revealed(DATABASE_URL=url) == [url, "p%40ss", "p@ss"]


@pytest.mark.parametrize("url", ["sqlite:///x.db", "http://[broken", "http://host/"])
def test_a_url_without_password_is_one_secret(url):
    assert revealed(SOME_URL=url) == [url]
