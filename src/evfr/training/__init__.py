"""Train networks by one readable loop, and say what each network is trained on.

`train` is the loop: a module, a function that draws a batch, a function that gives its loss, and a `Recipe`. Each
iteration draws from a generator of its own, seeded by the run's seed and the iteration's number, so that a run that was
stopped goes on exactly as if it had not been. What a model needs beyond that (its samples, batches and loss) stands in
one file per model; `evfr.models` has the networks.

To add a model: write one file with its samples, ``draw`` and ``loss``, and call `train`. `LEARNERS` names what learns
from labelled clips: functions to fit, predict, save and load, one line each; tests/training/test_learners.py holds all
of them to one contract, and `evfr train` and experiments take them by name.
"""

from __future__ import annotations

from evfr.training._batch_augmentation import augment_batch, noised_batch
from evfr.training._covos import CovosSamples, covos_samples, train_covos
from evfr.training._device_frames import DeviceFrames
from evfr.training._hypercolumns import hypercolumns
from evfr.training._iterations import iterations_for
from evfr.training._learners import LEARNERS, Learner
from evfr.training._loop import OPTIMIZERS, SCHEDULES, Recipe, TrainingRun, learning_rate_at, train
from evfr.training._maskrcnn import (
    MaskRcnn,
    fit_maskrcnn,
    load_maskrcnn,
    predict_maskrcnn,
    save_maskrcnn,
)
from evfr.training._segmentation import (
    Segmenter,
    fit_deep_unet,
    fit_unet,
    fit_vgg,
    load_segmentation,
    predict_segmentation,
    save_segmentation,
)
from evfr.training._seq_maskrcnn import train_seq_maskrcnn
from evfr.training._seq_maskrcnn_clips import (
    LabelledFrames,
    LabelledPicture,
    SequenceClip,
    sequence_draw,
)
from evfr.training._svm import HypercolumnSvm, fit_svm, load_svm, predict_svm, save_svm
from evfr.training._tiny import fit_tiny, load_tiny, predict_tiny, save_tiny
from evfr.training._visits import visit_bounds, visits

__all__ = [
    "LEARNERS",
    "OPTIMIZERS",
    "SCHEDULES",
    "CovosSamples",
    "DeviceFrames",
    "HypercolumnSvm",
    "LabelledFrames",
    "LabelledPicture",
    "Learner",
    "MaskRcnn",
    "Recipe",
    "Segmenter",
    "SequenceClip",
    "TrainingRun",
    "augment_batch",
    "covos_samples",
    "fit_deep_unet",
    "fit_maskrcnn",
    "fit_svm",
    "fit_tiny",
    "fit_unet",
    "fit_vgg",
    "hypercolumns",
    "iterations_for",
    "learning_rate_at",
    "load_maskrcnn",
    "load_segmentation",
    "load_svm",
    "load_tiny",
    "noised_batch",
    "predict_maskrcnn",
    "predict_segmentation",
    "predict_svm",
    "predict_tiny",
    "save_maskrcnn",
    "save_segmentation",
    "save_svm",
    "save_tiny",
    "sequence_draw",
    "train",
    "train_covos",
    "train_seq_maskrcnn",
    "visit_bounds",
    "visits",
]
