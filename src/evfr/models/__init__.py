"""Build networks, and nothing else: no reading of videos, no training, no choice of what to label.

A builder is a function that returns a network with random weights (from ``seed``) or with those of a user's file. It
imports torch or onnxruntime when it is called, never when this module is. Weights load by name: every tensor of the
file must have its place and its shape, every parameter its tensor, or an `InputError` lists what does not fit.

To add a network: one file with the modules, one builder here. `evfr.training` trains it, `evfr.propagation` and the
verbs take it as plain callables on arrays.
"""

from __future__ import annotations

from collections.abc import Callable

from evfr.models._box_masks import BoxMasks, box_masks
from evfr.models._covos import CovosNetwork, covos_decoder, covos_network, low_level_features
from evfr.models._detections import Detections, nms_rows, pick, scores_at
from evfr.models._detector import Detector, as_detector, open_detector
from evfr.models._maskrcnn import MaskRcnnDetector
from evfr.models._maskrcnn_train import maskrcnn_network
from evfr.models._onnx_classifier import OnnxClassifier
from evfr.models._onnx_detector import OnnxDetector
from evfr.models._onnx_segmenter import OnnxSegmenter
from evfr.models._seq_maskrcnn import seq_maskrcnn
from evfr.models._seq_maskrcnn_detector import SeqMaskRcnnDetector
from evfr.models._seq_maskrcnn_files import write_seq_maskrcnn
from evfr.models._seq_maskrcnn_session import SequenceSession
from evfr.models._tiny import tiny_network
from evfr.models._vgg_unet import SEGMENTERS, vgg_segmenter, vgg_taps

__all__ = [
    "DETECTORS",
    "SEGMENTERS",
    "BoxMasks",
    "CovosNetwork",
    "Detections",
    "Detector",
    "MaskRcnnDetector",
    "OnnxClassifier",
    "OnnxDetector",
    "OnnxSegmenter",
    "SeqMaskRcnnDetector",
    "SequenceSession",
    "as_detector",
    "box_masks",
    "covos_decoder",
    "covos_network",
    "low_level_features",
    "maskrcnn_network",
    "nms_rows",
    "open_detector",
    "pick",
    "scores_at",
    "seq_maskrcnn",
    "tiny_network",
    "vgg_segmenter",
    "vgg_taps",
    "write_seq_maskrcnn",
]

DETECTORS: dict[str, Callable[..., Detector]] = {
    "onnx": OnnxDetector,
    "maskrcnn": MaskRcnnDetector,
    "seq-maskrcnn": SeqMaskRcnnDetector,
}
"""Kinds of detectors: what opens a file of each, with its options as keywords."""
