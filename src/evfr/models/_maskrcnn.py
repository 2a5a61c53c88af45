"""Mask R-CNN as a detector: its own boxes with masks, and class probabilities at boxes that are given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr._core.annotations import Category
from evfr._core.lazy import require
from evfr._core.masks import Rle
from evfr._core.tensor_files import read_state_dict
from evfr.errors import InputError
from evfr.models._detections import Detections, checked_boxes
from evfr.models._detector import LastImage, categories_from, check_image
from evfr.models._maskrcnn_build import RESNETS, build_from_state

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MaskRcnnDetector", "RegionDetector", "torch_device"]

_SMALLEST = 1e-2
"""Shortest side of a box in pixels of the network, as torchvision has it."""


class RegionDetector:
    """Run torchvision's ``MaskRCNN`` step by step: features of a picture once, then its own boxes or given ones.

    Parameters
    ----------
    module : torch.nn.Module
        ``torchvision.models.detection.MaskRCNN`` or a network with the same children.
    categories : sequence of Category
        The C classes without background, in the order of the network's outputs 1 to C.
    device : str
        ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
    min_score, nms : float
        Detections of a class need a higher probability; of two of one class with a higher IoU the better stays.
    limit : int
        At most so many detections a picture.
    name : str
        For errors.
    """

    def __init__(
        self,
        module: Any,
        categories: Sequence[Category],
        *,
        device: str,
        min_score: float,
        nms: float,
        limit: int,
        name: str,
    ) -> None:
        if not 0 <= min_score < 1 or not 0 <= nms <= 1:
            raise ValueError(f"min_score must be in [0, 1) and nms in [0, 1], got {min_score} and {nms}")
        if limit < 1:
            raise ValueError(f"limit must be 1 or more, got {limit}")
        self.categories = tuple(categories)
        self._torch: Any = require("torch", extra="train")
        self._device = torch_device(device)
        self._module = module.eval().to(self._device)
        self._min_score, self._nms, self._limit, self._name = min_score, nms, limit, name
        self._features = LastImage(self._computed)

    def detect(self, image: NDArray[np.uint8]) -> Detections:
        """Find objects in a picture.

        Parameters
        ----------
        image : (H, W, 3) uint8
            RGB.

        Returns
        -------
        Detections
            By descending score, with masks at 0.5 and the probabilities of all classes of the region they are from.

        Raises
        ------
        InputError
            If the network's outputs are not finite.
        ValueError
            If it is no picture.
        """
        torch, heads = self._torch, self._module.roi_heads
        with torch.inference_mode():
            images, features = self._features(image)
            proposals, _ = self._module.rpn(images, features, None)
            logits, shifts = self._classified(features, proposals, images.image_sizes)
            probabilities = logits.softmax(dim=1)
            boxes = heads.box_coder.decode(shifts, proposals)
            height, width = images.image_sizes[0]
            limits = boxes.new_tensor([width, height, width, height])
            boxes = boxes.clamp(min=0).minimum(limits)
            is_good = (probabilities > self._min_score) & (
                (boxes[:, :, 2:] - boxes[:, :, :2] >= _SMALLEST).all(dim=2)
            )
            is_good[:, 0] = False
            rows, labels = is_good.nonzero(as_tuple=True)
            boxes, scores = boxes[rows, labels], probabilities[rows, labels]
            suppress = require("torchvision.ops", extra="train").batched_nms
            kept = suppress(boxes, scores, labels, self._nms)[: self._limit]
            boxes, labels = boxes[kept], labels[kept]
            masks = self._masks(features, boxes, labels, images.image_sizes, image.shape[:2])
            step = self._step(images, image)
            tall, wide = image.shape[:2]
            placed = (boxes.cpu().numpy().astype(np.float64) / step).clip(0, (wide, tall, wide, tall))
            return Detections(
                placed,
                scores[kept].cpu().numpy().astype(np.float64).clip(0, 1),
                labels.cpu().numpy() - 1,
                probabilities[rows[kept], 1:].cpu().numpy().astype(np.float64).clip(0, 1),
                masks,
            )

    def score_boxes(self, image: NDArray[np.uint8], boxes_xyxy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Classify given boxes by the network's box head.

        Parameters
        ----------
        image : (H, W, 3) uint8
            RGB.
        boxes_xyxy : (B, 4) float64
            Pixels.

        Returns
        -------
        (B, C) float64
            Probabilities of the real classes; with that of background they sum to 1.

        Raises
        ------
        InputError
            If the network's outputs are not finite.
        ValueError
            If it is no picture, or boxes are not finite or upside down.
        """
        boxes = checked_boxes(boxes_xyxy)
        if not len(boxes):
            check_image(image)
            return np.zeros((0, len(self.categories)))
        torch = self._torch
        with torch.inference_mode():
            images, features = self._features(image)
            placed = torch.from_numpy((boxes * self._step(images, image)).astype(np.float32)).to(self._device)
            logits, _ = self._classified(features, [placed], images.image_sizes)
            found: NDArray[np.float64] = logits.softmax(dim=1)[:, 1:].cpu().numpy().astype(np.float64)
        return found.clip(0.0, 1.0)

    def _computed(self, image: NDArray[np.uint8]) -> tuple[Any, Any]:
        check_image(image)
        torch = self._torch
        with torch.inference_mode():
            planes = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).to(self._device)
            images, _ = self._module.transform([planes.float() / 255])
            return images, self._module.backbone(images.tensors)

    def _classified(self, features: Any, boxes: list[Any], sizes: list[tuple[int, int]]) -> tuple[Any, Any]:
        heads = self._module.roi_heads
        logits, shifts = heads.box_predictor(heads.box_head(heads.box_roi_pool(features, boxes, sizes)))
        if not bool(self._torch.isfinite(logits).all()):
            raise InputError(f"{self._name}: the network's outputs are not finite; check its weights")
        return logits, shifts

    def _masks(
        self, features: Any, boxes: Any, labels: Any, sizes: list[tuple[int, int]], full: tuple[int, ...]
    ) -> tuple[Rle, ...]:
        if not len(boxes):
            return ()
        torch, heads = self._torch, self._module.roi_heads
        paste = require("torchvision.models.detection.roi_heads", extra="train").paste_masks_in_image
        pooled = heads.mask_head(heads.mask_roi_pool(features, [boxes], sizes))
        chosen = heads.mask_predictor(pooled)[torch.arange(len(labels)), labels].sigmoid()[:, None].cpu()
        step = [full[1] / sizes[0][1], full[0] / sizes[0][0]] * 2
        placed = boxes.cpu() * torch.tensor(step)
        # One at a time: a hundred full-size planes of floats would not fit everywhere.
        return tuple(
            Rle.from_mask(paste(chosen[k : k + 1], placed[k : k + 1], (full[0], full[1]))[0, 0].numpy() > 0.5)
            for k in range(len(chosen))
        )

    @staticmethod
    def _step(images: Any, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        height, width = images.image_sizes[0]
        return np.array([width / image.shape[1], height / image.shape[0]] * 2)


class MaskRcnnDetector(RegionDetector):
    """Detect objects with masks by torchvision's Mask R-CNN, with weights of a file (He et al. 2017 [1]_).

    Parameters
    ----------
    path : path
        A state dict (``.safetensors``) of torchvision's ``maskrcnn_resnet50_fpn``,
        ``maskrcnn_resnet50_fpn_v2``, or the same on another ResNet or of other widths: the tensors tell.
    names : sequence of str or Category, or path, optional
        The C classes without background, or a text file with one name a line; else "class 0" and so on.
    backbone : str
        ``"auto"``, or ``"resnet18"``, ``"resnet34"``, ``"resnet50"``, ``"resnet101"``, ``"resnet152"``,
        ``"resnext50_32x4d"``, ``"resnext101_32x8d"``, ``"resnext101_64x4d"``, to have a file of another refused.
    size : (int, int)
        Pictures are scaled so that their shorter side is the first, unless their longer one would exceed the second.
    device : str
        ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
    min_score : float
        In [0, 1); `detect` returns detections with a higher probability.
    nms : float
        In [0, 1]; of two detections of one class with a higher IoU the better stays.
    limit : int
        At most so many detections a picture.
    norm_eps : float
        Of batch normalisation. torchvision runs its published ``maskrcnn_resnet50_fpn_coco`` file, and what was
        fine-tuned from it, with 0.

    Raises
    ------
    MissingExtraError
        If torch or torchvision is not installed.
    InputError
        If the file cannot be read, is of another network (what does not fit is listed), has another number of classes
        than ``names``, or the GPU asked for is not here.
    ValueError
        If an option is out of its range.

    Notes
    -----
    Features of the last picture are kept, so that detecting and scoring on one frame runs the backbone once.

    References
    ----------
    .. [1] He, Gkioxari, Dollár, Girshick: Mask R-CNN. ICCV 2017, arXiv:1703.06870.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        names: Sequence[Category | str] | str | Path | None = None,
        backbone: str = "auto",
        size: Sequence[int] = (800, 1333),
        device: str = "cpu",
        min_score: float = 0.05,
        nms: float = 0.5,
        limit: int = 100,
        norm_eps: float = 1e-5,
    ) -> None:
        if backbone != "auto" and backbone not in RESNETS:
            raise ValueError(f"backbone must be 'auto' or one of {', '.join(RESNETS)}, got {backbone!r}")
        if len(size) != 2 or not 32 <= size[0] <= size[1]:
            raise ValueError(
                f"size must be (shorter, longer) of 32 pixels or more, the longer no less, got {tuple(size)}"
            )
        if not 0 <= norm_eps < 1:
            raise ValueError(f"norm_eps must be in [0, 1), got {norm_eps}")
        self.path = Path(path)
        self._options: dict[str, Any] = {
            "names": names,
            "backbone": backbone,
            "size": tuple(size),
            "device": device,
            "min_score": min_score,
            "nms": nms,
            "limit": limit,
            "norm_eps": norm_eps,
        }
        state = read_state_dict(self.path, extra="train")
        module = build_from_state(
            state, self.path, backbone=backbone, size=(int(size[0]), int(size[1])), norm_eps=norm_eps
        )
        count = module.roi_heads.box_predictor.cls_score.out_features - 1
        categories = categories_from([f"class {n}" for n in range(count)] if names is None else names)
        if len(categories) != count:
            raise InputError(
                f"{self.path} has {count} classes beside background, {len(categories)} names were given"
            )
        super().__init__(
            module,
            categories,
            device=device,
            min_score=min_score,
            nms=nms,
            limit=limit,
            name=str(self.path),
        )

    def __repr__(self) -> str:
        return f"MaskRcnnDetector({self.path.name!r}, {len(self.categories)} classes, {self._device})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the options, not the network: a worker process reads the file again."""
        return _rebuild, (str(self.path), self._options)


def torch_device(device: str) -> Any:
    """Return a torch device that is here.

    Raises
    ------
    ValueError
        If it is no ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
    InputError
        If there is no such GPU.
    """
    name, _, number = device.partition(":")
    if device not in ("cpu", "cuda") and not (name == "cuda" and number.isdecimal()):
        raise ValueError(f"device must be 'cpu', 'cuda' or 'cuda:0', got {device!r}")
    torch: Any = require("torch", extra="train")
    if name == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise InputError(
            f"device {device!r} asked for, but torch sees {torch.cuda.device_count()} GPUs; pass device='cpu'"
        )
    return torch.device(device)


def _rebuild(path: str, options: dict[str, Any]) -> MaskRcnnDetector:
    return MaskRcnnDetector(path, **options)
