"""Measure a model on labelled cases: Dice, distance and ejection fraction, by one of two named protocols."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from cinema_core.anatomy import FOREGROUND, UNLABELLED, Structure
from cinema_core.cases import TrainingCase
from cinema_core.cine import Cine, View
from cinema_core.errors import InputError, StorageError
from cinema_core.geometry import grid_map, scale_frames
from cinema_core.learn.bench import VIEW, short_axis_grid
from cinema_core.learn.scores import (
    SUMMARY_NAME,
    TABLE_NAME,
    VENTRICLES,
    CaseScore,
    Protocol,
    Summary,
    summarise,
    table,
)
from cinema_core.learn.windows import labels_on
from cinema_core.measure.agreement import dice, hd95_mm
from cinema_core.measure.volumes import volume_curves
from cinema_core.models.zoo import LoadedModel
from cinema_core.predict import segment_cine
from cinema_core.progress import CancelToken, Progress, no_progress

Labels = NDArray[np.uint8]

BATCH: Final = 8
