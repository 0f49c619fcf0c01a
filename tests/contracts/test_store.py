"""What every object store promises: whole or not at all, overwritten under the same name, listed by prefix."""

from __future__ import annotations

import threading

import pytest
from contracts.adapters import STORES

from cloud.stores.base import StoreError


@pytest.fixture(params=sorted(STORES))
def store(request, tmp_path):
    return STORES[request.param](tmp_path)


def test_an_object_comes_back_as_it_was_put(store):
    store.put("a/b=c/1.bin", bytes(range(256)))

    assert store.get("a/b=c/1.bin") == bytes(range(256))


def test_a_put_overwrites(store):
    store.put("a/1", b"long before")
    store.put("a/1", b"after")

    assert store.get("a/1") == b"after"
    assert store.names("a/") == ["a/1"]


def test_an_empty_object_is_an_object(store):
    store.put("a/empty", b"")

    assert store.get("a/empty") == b""
    assert store.names("") == ["a/empty"]


def test_an_object_that_is_not_there_cannot_be_read(store):
    with pytest.raises(StoreError, match="a/none"):
        store.get("a/none")


def test_names_are_those_that_begin_with_the_prefix_sorted(store):
    for name in ("t/site=a/2", "t/site=a/1", "t/site=ab/1", "t/site=b/1", "u/1"):
        store.put(name, b"")

    assert store.names("t/site=a/") == ["t/site=a/1", "t/site=a/2"]
    assert store.names("t/site=a") == ["t/site=a/1", "t/site=a/2", "t/site=ab/1"]
    assert store.names("none/") == []
    assert len(store.names("")) == 5


def test_a_removed_object_is_gone_and_removing_it_again_is_no_error(store):
    store.put("a/1", b"")
    store.remove("a/1")
    store.remove("a/1")

    assert store.names("") == []


@pytest.mark.parametrize("name", ["", "/a", "../a", "a/../../b", "a//b", "a/", ".", "a/.hidden", "a\0b"])
def test_a_name_that_leaves_the_store_or_hides_in_it_is_refused(store, name):
    for act in (lambda: store.put(name, b""), lambda: store.get(name), lambda: store.remove(name)):
        with pytest.raises(StoreError, match="cannot be"):
            act()


def test_a_put_that_cannot_be_done_is_an_error_of_the_store_and_leaves_nothing(store):
    """``a`` is an object, so nothing can lie below it. (An object store without folders may take both.)"""
    store.put("a", b"object")
    try:
        store.put("a/b", b"below")
    except StoreError:
        assert store.names("") == ["a"]
    assert store.get("a") == b"object"


def test_a_reader_sees_the_old_object_or_the_new_one_and_nothing_between(store):
    old, new = b"o" * 300_000, b"n" * 300_000
    store.put("a/1", old)
    seen, stop = set(), threading.Event()

    def read() -> None:
        while not stop.is_set():
            seen.add(store.get("a/1"))

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(20):
        store.put("a/1", (old, new)[turn % 2])
    stop.set()
    reader.join(10)

    assert seen <= {old, new}
    assert store.names("") == ["a/1"]
