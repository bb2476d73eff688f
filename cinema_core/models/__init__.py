"""The published networks, and strict loading of their weights. Imports torch."""

from __future__ import annotations

from cinema_core.model_config import ViewSettings, architecture, n_frames, n_outputs, view_settings
from cinema_core.models.checkpoint import build_model, load_model
from cinema_core.models.convunetr import ConvUNetR
from cinema_core.models.convvit import ConvViT
from cinema_core.models.mae import MaskedAutoencoder, MaskedOutput
from cinema_core.models.resnet import ResNet
from cinema_core.models.transfer import TransferReport, transfer_pretrained
from cinema_core.models.unet import UNet

__all__ = [
    "ConvUNetR",
    "ConvViT",
    "MaskedAutoencoder",
    "MaskedOutput",
    "ResNet",
    "TransferReport",
    "UNet",
    "ViewSettings",
    "architecture",
    "build_model",
    "load_model",
    "n_frames",
    "n_outputs",
    "transfer_pretrained",
    "view_settings",
]
