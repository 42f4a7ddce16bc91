"""Classification of image files with a model that was built or deployed."""

from resnetgen.predict.classify import Classifier, Guess, Prediction, Predictions, predict
from resnetgen.predict.folder import Folder, Served, read_folder, read_served
from resnetgen.predict.request import request

__all__ = [
    "Classifier",
    "Folder",
    "Guess",
    "Prediction",
    "Predictions",
    "Served",
    "predict",
    "read_folder",
    "read_served",
    "request",
]
