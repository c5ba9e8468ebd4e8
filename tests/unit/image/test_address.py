import pytest

from pipeline.image import address


@pytest.mark.parametrize(
    ("registry", "base"),
    [
        ("registry.example", "https://registry.example"),
        ("registry.example:5000", "https://registry.example:5000"),
        ("10.0.0.1:5000", "https://10.0.0.1:5000"),
        ("localhost.example", "https://localhost.example"),
        ("127.0.0.1.example", "https://127.0.0.1.example"),
        ("localhost:5000", "http://localhost:5000"),
        ("127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("127.1.2.3", "http://127.1.2.3"),
        ("[::1]:5000", "http://[::1]:5000"),
        ("docker.io", "https://registry-1.docker.io"),
    ],
)
def test_only_this_machines_own_registry_is_asked_in_the_clear(registry, base):
    assert address.base(registry) == base


@pytest.mark.parametrize(
    ("url", "beside", "safe"),
    [
        ("https://tokens.example/token", "https://registry.example", True),
        ("https://tokens.example/token", "http://127.0.0.1:5000", True),
        ("http://127.0.0.1:5001/token", "http://localhost:5000", True),
        ("http://127.0.0.1:5001/token", "https://registry.example", False),
        ("http://tokens.example/token", "https://registry.example", False),
        ("http://tokens.example/token", "http://127.0.0.1:5000", False),
        ("https://user@tokens.example/token", "https://registry.example", False),
        ("ftp://tokens.example/token", "https://registry.example", False),
        ("file:///etc/passwd", "http://127.0.0.1:5000", False),
        ("https://tokens.example:99999/", "https://registry.example", False),
        ("https://[tokens/", "https://registry.example", False),
        ("/token", "https://registry.example", False),
        ("", "https://registry.example", False),
    ],
)
def test_where_a_login_may_go(url, beside, safe):
    assert address.is_safe(url, beside) is safe


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://registry.example/v2/", "https://registry.example:443/other", True),
        ("https://registry.example/", "https://registry.example:444/", False),
        ("https://registry.example/", "http://registry.example/", False),
        ("https://registry.example/", "https://other.example/", False),
        ("https://registry.example:99999/", "https://registry.example:99998/", False),
    ],
)
def test_what_has_the_same_origin(one, other, same):
    assert (address.origin(one) == address.origin(other)) is same


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/v2/x", "https://registry.example/v2/x"),
        ("https://other.example/x", "https://other.example/x"),
        ("https://[other/", ""),
    ],
)
def test_where_a_location_leads(location, url):
    assert address.joined("https://registry.example/v2/y", location) == url


def test_what_is_shown_of_an_address():
    assert address.shown("https://user:word@registry.example:5000/v2/") == "registry.example:5000"
    assert address.shown("https://[") == address.hostname("https://[") == ""
