"""Label Studio: tasks with predictions, and its JSON after people worked on them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from tests.helpers.tool_package import CATEGORIES, draw_package, labels_for, placed, same_labels

from evfr._core.annotations import ObjectRow
from evfr._core.masks import Rle
from evfr.annotations._label_studio_brush import encode_brush
from evfr.errors import AnnotationError
from evfr.verbs import _tool_label_studio as tool
from evfr.verbs._import_match import identify

Tasks = list[dict[str, Any]]


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    package = draw_package(tmp_path_factory.mktemp("label-studio"), "label-studio")
    tool.write(package)
    return package


def annotated(
    package: Any, folder: Path, change: Callable[[Tasks], object] = len, *, kind: str = "tasks", **region: Any
) -> Path:
    """Return the export after a person opened every task, accepted the predictions, and did ``change``.

    Label Studio makes annotations of predictions: regions keep their values, and ``origin`` says where they are from.
    """
    tasks = json.loads((package.folder / "label-studio" / f"{kind}.json").read_text())
    for number, task in enumerate(tasks):
        found = [r for prediction in task.pop("predictions", []) for r in prediction["result"]]
        results = [{**r, "origin": "prediction", **region} for r in found]
        task |= {"id": number, "annotations": [{"id": number, "was_cancelled": False, "result": results}]}
    change(tasks)
    path = folder / "export.json"
    path.write_text(json.dumps(tasks))
    return path


def test_accepted_predictions_come_back_as_they_went(package, tmp_path):
    done = placed(tool.read(annotated(package, tmp_path), package), package)
    same_labels(done.labels, labels_for(), slack=1e-9)
    assert (done.untouched, done.empty) == (6, 1)
    # Without the export's own labels the file alone says as much.
    alone = placed(tool.read(annotated(package, tmp_path), package), package, untouched="human")
    assert alone.untouched == 0


@pytest.mark.parametrize("kind", ["pictures", "videos"])
def test_what_the_server_wrote_is_read(package, kind):
    """Label Studio 1.23 imported these tasks and exported them, each prediction accepted, by its own API."""
    file = Path(__file__).parent / "tool_files" / f"label-studio-{kind}.json"
    done = placed(tool.read(file, package), package)
    same_labels(done.labels, labels_for(), slack=1e-9)
    assert (done.untouched, done.empty) == (6, 1)


def test_boxes_of_video_tasks_come_back_with_their_masks(package, tmp_path):
    done = placed(tool.read(annotated(package, tmp_path, kind="videos"), package), package)
    same_labels(done.labels, labels_for(), slack=1e-9)
    assert (done.untouched, done.empty) == (6, 1)


def test_what_label_studio_loses_is_known_from_the_export(package, tmp_path):
    """Regions with ids of its own and without our meta are still those that were exported, if nobody moved them."""

    def forget(tasks: Tasks) -> None:
        for task in tasks:
            for number, region in enumerate(task["annotations"][0]["result"]):
                region["id"] = f"aB{number}"
                region.pop("meta", None)

    done = placed(tool.read(annotated(package, tmp_path, forget), package), package)
    same_labels(done.labels, labels_for(), slack=1e-9)


def test_changed_and_new_regions_are_a_persons(package, tmp_path):
    def work(tasks: Tasks) -> None:
        first = tasks[0]["annotations"][0]["result"]
        first[0]["origin"] = "prediction-changed"
        first[0]["value"]["x"] = 50.0
        new = {
            "id": "q1",
            "type": "polygonlabels",
            "origin": "manual",
            "from_name": "polygon",
            "to_name": "image",
            "original_width": 61,
            "original_height": 43,
            "image_rotation": 0,
            "value": {"points": [[0, 0], [50, 0], [50, 50], [0, 50]], "polygonlabels": ["bird"]},
        }
        first.append(new)

    found = tool.read(annotated(package, tmp_path, work), package)
    # The file alone says so: origin, not a comparison with what was exported.
    assert [row.source for row in found.objects()][:4] == ["human", "human", "human", "carried"]
    done = placed(found, package)
    changed, new = (
        row for row in done.labels.objects() if (row.video_id, row.frame_index) == ("drive/a.mp4", 5)
    )
    assert (changed.source, changed.track_id, changed.trust) == (
        "human",
        4,
        pytest.approx(float("nan"), nan_ok=True),
    )
    assert changed.box_xyxy[0] == 30.5
    assert (new.source, new.track_id) == ("human", -1)
    assert new.mask == Rle.from_polygons([[0, 0, 30.5, 0, 30.5, 21.5, 0, 21.5]], 43, 61)
    assert done.new_categories == ("bird",) and done.untouched == 5


def test_uploaded_pictures_are_found_by_their_names(package, tmp_path):
    """An upload gets eight digits before its name; a picture without a region has the size of its frame."""

    def upload(tasks: Tasks) -> None:
        for number, task in enumerate(tasks):
            name = task["data"]["image"].rpartition("/")[2]
            task["data"] = {"image": f"/data/upload/3/{number:08x}-{name}"}

    done = placed(tool.read(annotated(package, tmp_path, upload), package), package)
    same_labels(done.labels, labels_for(), slack=1e-9)


def test_tasks_that_nobody_opened_are_left_out(package, tmp_path):
    def leave(tasks: Tasks) -> None:
        tasks[0]["annotations"] = []
        tasks[1]["annotations"][0]["was_cancelled"] = True

    found = tool.read(annotated(package, tmp_path, leave), package)
    assert [video.video_id for video in found.videos] == [
        f"frames/{frame.name}" for frame in package.label_frames[2:]
    ]


def test_video_tasks_fill_in_between_key_frames(package, tmp_path):
    def follow(tasks: Tasks) -> None:
        box = {"x": 0, "y": 0, "width": 50, "height": 50, "rotation": 0}
        sequence = [
            {"frame": 2, "enabled": True, **box},
            {"frame": 6, "enabled": False, **box, "x": 40},
        ]
        value = {"framesCount": 8, "sequence": sequence, "labels": ["car"]}
        region = {"id": "z", "type": "videorectangle", "origin": "manual", "value": value}
        tasks[0]["annotations"][0]["result"] = [region]
        tasks[1]["annotations"][0]["result"] = []

    path = annotated(package, tmp_path, follow, kind="videos")
    done = placed(tool.read(path, package), package)
    rows = list(done.labels.objects())
    # Frames 2 to 6 of the task are numbers 1 to 5: frames 5, 6, 8, 9, 10 of the video, 62 pixels wide in the task.
    assert [row.frame_index for row in rows] == [5, 6, 8, 9, 10]
    assert [row.source for row in rows] == ["human", *["interpolated"] * 3, "human"]
    assert len({row.track_id for row in rows}) == 1 and rows[0].track_id != -1
    assert [row.box_xyxy[0] for row in rows] == pytest.approx(
        [62 * share for share in (0, 0.1, 0.2, 0.3, 0.4)]
    )
    dropped = placed(tool.read(path, package), package, context_labels="drop")
    assert dropped.labels.frame_index.tolist() == [5, 9]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[0]["annotations"].append(t[0]["annotations"][0]), "the task has 2 annotations"),
        (
            lambda t: t[0]["annotations"][0]["result"][0].update(type="choices"),
            "type 'choices' is no label that evfr keeps; here they are rectanglelabels",
        ),
        (lambda t: t[0]["annotations"][0]["result"][0]["value"].update(rotation=9), "turned by 9 degrees"),
        (lambda t: t[0]["annotations"][0]["result"][0].update(image_rotation=90), "the image was turned"),
    ],
)
def test_what_cannot_be_kept_is_refused(package, tmp_path, change, message):
    with pytest.raises(AnnotationError, match=message):
        placed(tool.read(annotated(package, tmp_path, change), package), package)


def test_picture_of_another_size_is_not_taken(package, tmp_path):
    path = annotated(
        package, tmp_path, lambda t: t[0]["annotations"][0]["result"][0].update(original_width=60)
    )
    (wrong,) = identify(tool.read(path, package), package).unmatched
    assert "it has 60x43 pixels there, the frame 61x43" in wrong.reason


def test_unknown_video_is_refused(package, tmp_path):
    def rename(tasks: Tasks) -> None:
        tasks[0]["data"]["video"] = "/data/local-files/?d=label-studio/else.mp4"

    with pytest.raises(AnnotationError, match=r"tasks\[0\] names 'label-studio/else.mp4', which is no video"):
        tool.read(annotated(package, tmp_path, rename, kind="videos"), package)


def test_configurations_name_the_controls_of_the_predictions(package):
    folder = package.folder / "label-studio"
    for config, tasks in (("config.xml", "tasks.json"), ("config-videos.xml", "videos.json")):
        text = (folder / config).read_text()
        controls = dict(re.findall(r'<(\w+) name="(\w+)" toName="\w+"', text))
        kinds = {name: tag.lower() for tag, name in controls.items()}
        for task in json.loads((folder / tasks).read_text()):
            for prediction in task.get("predictions", []):
                for region in prediction["result"]:
                    assert kinds[region["from_name"]] == region["type"]
        assert re.findall('value="([^"$]+)"', text)[:2] == ["car", "person &amp; dog"]
    first = json.loads((folder / "tasks.json").read_text())[0]
    assert first["data"]["image"] == "/data/local-files/?d=frames/drive-a_f000005_p2560.png"
    assert (package.folder / first["data"]["image"].partition("?d=")[2]).is_file()
    brush = json.loads((folder / "tasks.json").read_text())[1]["predictions"][0]["result"][1]["value"]["rle"]
    assert brush == encode_brush(labels_for().masks[2])


def test_videos_have_even_sizes_and_a_frame_for_each_picture(package):
    for stem, size, count in (("drive-a", (62, 44), 9), ("b", (48, 36), 5)):
        with av.open(str(package.folder / "label-studio" / f"{stem}.mp4")) as container:
            frames = list(container.decode(video=0))
        assert [(frame.width, frame.height) for frame in frames] == [size] * count


def test_without_labels_context_or_classes_there_is_less(tmp_path):
    from dataclasses import replace

    package = replace(
        draw_package(tmp_path, "label-studio", has_labels=False, has_context=False), categories=()
    )
    assert [path.name for path in tool.write(package)] == ["label-studio", "tasks.json"]
    assert all(
        "predictions" not in task for task in json.loads((tmp_path / "label-studio/tasks.json").read_text())
    )
    done = placed(tool.read(annotated(package, tmp_path), package), package)
    assert len(done.labels) == 0 and done.empty == 5


def test_object_without_shape_is_refused(tmp_path):
    bare = labels_for([ObjectRow("b", 0, CATEGORIES[0].category_id, 9)])
    package = draw_package(tmp_path, "label-studio", labels=bare)
    with pytest.raises(AnnotationError, match=r"b_f000000_p0\.png: an object with track 9 has neither"):
        tool.write(package)
    with pytest.raises(
        AnnotationError, match="'b', frame 0: an object with track 9 has neither box nor mask"
    ):
        tool._video_task(package, package.sequence("b"), tmp_path / "b.mp4")


def test_a_region_of_several_classes_keeps_its_track_once(tmp_path):
    """A track that changes its class is two regions; the second has an id of its own."""
    rows = [ObjectRow("b", 0, 3, 4, (0, 0, 9, 9)), ObjectRow("b", 7, 7, 4, (0, 0, 9, 9))]
    package = draw_package(tmp_path, "label-studio", labels=labels_for(rows))
    task = tool._video_task(package, package.sequence("b"), tmp_path / "b.mp4")
    assert [region["id"] for region in task["predictions"][0]["result"]] == ["evfr-4", "evfr-none-1"]
