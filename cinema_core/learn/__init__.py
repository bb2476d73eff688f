"""Fine-tuning on the reader's labels: the loop, its loss, its gate, its versions, and what to label next.

Importing this package does not import torch: the rules (:mod:`~cinema_core.learn.guard`), the settings and the
queues are for the window too. The loop is :func:`cinema_core.learn.finetune.finetune`.
"""

from cinema_core.learn.guard import Figures, Scope, Validation, Verdict, judge
from cinema_core.learn.settings import FineTuneSettings, Tier

__all__ = ["Figures", "FineTuneSettings", "Scope", "Tier", "Validation", "Verdict", "judge"]
