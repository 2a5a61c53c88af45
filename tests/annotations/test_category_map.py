"""Joining classes: by file or by published name, deterministic ids, and every wrong map refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evfr._core.annotations import AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr.annotations import (
    CATEGORY_MAPS,
    CategoryMap,
    match_categories,
    merge_categories,
    merged_names,
    read_category_map,
)
from evfr.errors import AnnotationError


def labels(*categories: tuple[int, str]) -> VideoAnnotations:
    """Return one box of each class."""
    video = AnnotatedVideo("v", 10, 10, np.arange(2))
    kinds = [Category(number, name, "animal") for number, name in categories]
    rows = [ObjectRow("v", 0, number, number, (0, 0, 1, 1)) for number, _ in categories]
    return VideoAnnotations.build([video], kinds, rows)


def names(annotations: VideoAnnotations) -> list[str]:
    by_id = {category.category_id: category.name for category in annotations.categories}
    return [by_id[number] for number in annotations.category_id.tolist()]


def test_youtube_vis_2019_to_2021():
    """Eagle and owl are bird, ape is monkey; the rest stays; ids are the smallest, or the target's own."""
    old = labels((26, "owl"), (38, "eagle"), (7, "ape"), (10, "monkey"), (8, "dog"))
    category_map = read_category_map("ytvis-2019-to-2021")
    new = merge_categories(old, category_map)
    assert names(new) == ["bird", "bird", "monkey", "monkey", "dog"]
    assert new.category_id.tolist() == [26, 26, 10, 10, 8]
    assert [item.category_id for item in new.categories] == [8, 10, 26]
    assert {item.supercategory for item in new.categories} == {"animal"}
    assert merged_names(old, category_map) == (("eagle", "bird"), ("owl", "bird"), ("ape", "monkey"))
    # The newer list has nothing to join, and says so only if asked to.
    newer = labels((1, "bird"), (2, "monkey"))
    with pytest.raises(
        AnnotationError, match="2019-to-2021: no class is named 'eagle', 'owl', 'ape'; the classes are"
    ):
        merge_categories(newer, category_map)
    assert merge_categories(newer, category_map, absent="skip").equals(newer)
    with pytest.raises(ValueError, match="absent must be 'fail' or 'skip', got 'x'"):
        merge_categories(newer, category_map, absent="x")


def test_published_maps():
    assert set(CATEGORY_MAPS) == {
        *("by-name", "ytvis-2019-to-2021", "openimages-to-ytvis", "coco-lvis-to-ytvis"),
    }
    photos = merge_categories(
        labels((3, "golden fish"), (1, "eagle"), (2, "owl")), read_category_map("openimages-to-ytvis")
    )
    assert names(photos) == ["fish", "bird", "bird"]
    lvis = merge_categories(labels((1, "gorilla"), (5, "monkey")), read_category_map("coco-lvis-to-ytvis"))
    assert lvis.category_id.tolist() == [5, 5]
    same = labels((1, "a"))
    assert merge_categories(same, read_category_map("by-name")).equals(same)


@pytest.mark.parametrize(
    ("file", "text"),
    [("map.json", '{"bird": ["eagle", "owl"]}'), ("map.TOML", 'bird = ["eagle", "owl"]')],
)
def test_files(tmp_path, file, text):
    (tmp_path / file).write_text(text)
    found = read_category_map(tmp_path / file)
    assert found.targets == (("bird", ("eagle", "owl")),)
    assert found.sources == ("eagle", "owl")


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("a.json", '{"a": ["x"], "b": ["x"]}', "'x' becomes both 'a' and 'b'; a class can become one only"),
        ("a.json", '{"a": ["x", "x"]}', "'x' stands twice in 'a'; leave one out"),
        ("a.json", '{"a": ["x"], "a": ["y"]}', "the target 'a' stands there twice"),
        ("a.json", '{"a": ["x"], "b": ["a"]}', "'a' becomes 'b' and is a target itself; list the classes"),
        ("a.json", '{"a": []}', r"'a' must be a name with one name or more that become it, got \[\]"),
        ("a.json", '{"": ["x"]}', "'' must be a name with one name or more"),
        ("a.json", '{"a": [""]}', r"must be a name with one name or more that become it, got \[''\]"),
        ("a.json", '{"a": "x"}', "'a' must be a list of names, got 'x'"),
        ("a.json", '{"a": [1]}', r"'a' must be a list of names, got \[1\]"),
        ("a.json", '["a"]', "must be an object of lists of names"),
        ("a.json", "{", "cannot be read: Expecting"),
        ("a.json", "[" * 100000, "cannot be read"),
        ("a.toml", "a = [", "cannot be read"),
        ("a.toml", 'a = ["x"]\na = ["y"]', "cannot be read"),
        ("a.toml", b"\xff", "cannot be read"),
        ("a.txt", "a", r"neither a file .json or .toml nor one of by-name, ytvis-2019-to-2021"),
    ],
)
def test_wrong_maps(tmp_path, file, text, message):
    (tmp_path / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(AnnotationError, match=message):
        read_category_map(tmp_path / file)


def test_missing_map(tmp_path):
    with pytest.raises(AnnotationError, match=r"nothing\.json"):
        read_category_map(tmp_path / "nothing.json")


def test_matching_by_name():
    found = match_categories(
        labels((1, "cat"), (2, "dog"), (3, "cow")), [Category(7, "dog"), Category(1, "owl")]
    )
    assert [(item.category_id, item.name) for item in found.categories] == [
        (8, "cat"),
        (7, "dog"),
        (9, "cow"),
    ]
    assert found.category_id.tolist() == [8, 7, 9]
    for wrong, text in (
        (
            [Category(1, "a"), Category(2, "a")],
            "category 1 of the reference shares the name 'a' with another",
        ),
        ([Category(1, "")], "category 1 of the reference has no name"),
    ):
        with pytest.raises(AnnotationError, match=text):
            match_categories(labels((1, "cat")), wrong)
    with pytest.raises(AnnotationError, match="category 1 of the labels shares the name 'cat'"):
        match_categories(labels((1, "cat"), (2, "cat")), [])


@given(
    st.permutations([(3, "eagle"), (9, "owl"), (4, "bird"), (1, "dog")]), st.permutations(["eagle", "owl"])
)
def test_order_does_not_matter_and_twice_is_once(categories, sources):
    """Whatever the order of classes and of the map: the same ids; a second pass changes nothing."""
    category_map = CategoryMap("test", (("bird", tuple(sources)),))
    once = merge_categories(labels(*categories), category_map)
    assert {(item.category_id, item.name) for item in once.categories} == {(4, "bird"), (1, "dog")}
    assert merge_categories(once, category_map, absent="skip").equals(once)
    assert json.dumps([item.category_id for item in once.categories]) == "[1, 4]"
