"""A synthetic beating heart whose volumes are known: sample data, the tests' truth, and a teacher.

``make_phantom`` images one heart as a short-axis cine and long-axis views with their labels and exact volumes;
``write_phantom`` stores it as files; ``training_slice`` draws endlessly varied slices to train a model from.
"""

from cinema_core.phantom.hearts import HEARTS, heart_called, random_parameters
from cinema_core.phantom.parameters import HeartParameters
from cinema_core.phantom.slices import training_slice
from cinema_core.phantom.study import LONG_AXIS, PhantomStudy, PhantomView, make_phantom
from cinema_core.phantom.wall import TrueWall, true_wall
from cinema_core.phantom.write import write_phantom

__all__ = [
    "HEARTS",
    "LONG_AXIS",
    "HeartParameters",
    "PhantomStudy",
    "PhantomView",
    "TrueWall",
    "heart_called",
    "make_phantom",
    "random_parameters",
    "training_slice",
    "true_wall",
    "write_phantom",
]
