"""Classify image files with a model that was built or deployed."""

from resnetgen.predict.classify import Classifier, Guess, Prediction, Predictions, predict
from resnetgen.predict.folder import Folder, read_folder

__all__ = ["Classifier", "Folder", "Guess", "Prediction", "Predictions", "predict", "read_folder"]
