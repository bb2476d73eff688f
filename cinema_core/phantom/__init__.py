"""A synthetic beating heart whose volumes are known: sample data, the tests' truth, and a teacher.

``make_phantom`` images one heart as a short-axis cine with its labels and exact volumes; ``write_phantom``
stores it as files; ``training_slice`` draws endlessly varied slices to train a model from.
"""

from cinema_core.phantom.parameters import HeartParameters, random_parameters
from cinema_core.phantom.slices import training_slice
from cinema_core.phantom.study import PhantomStudy, make_phantom
from cinema_core.phantom.write import write_phantom

__all__ = ["HeartParameters", "PhantomStudy", "make_phantom", "random_parameters", "training_slice", "write_phantom"]
