"""The test files of each folder that is mutated. Of their tests, those run that reach a mutant's statement."""

from __future__ import annotations

_EXPANDED = "errors row_refusals rows spec_language spec_edges strides sizes ops names limits graph_text"
_ENGINES = "engines engines_networks engines_mistakes"
_CHECKPOINTS = (
    "checkpoint checkpoint_models checkpoint_claims checkpoint_hostile checkpoint_pickles checkpoint_messages"
)
_DEPLOYED = "deploy deploy_config deploy_manifest deploy_onnxruntime deploy_texts deploy_kserve deploy_ranges"
_VERIFIED = "verify verify_inputs verify_corruptions verify_opencv"
ROOMS = {
    "spec": f"yaml {_EXPANDED} grammar schemas preprocess preprocess_json cli cli_process inputs",
    "expand": f"{_EXPANDED} libraries",
    "ir": f"{_EXPANDED} records passes values pooling_rules translation validate {_ENGINES} diff determinism",
    "weights": f"{_CHECKPOINTS} weights file_kinds names external pretrained fit torchvision cli",
    "precision": "precision calibration quantise precision_deploy half ranges",
    "verification": f"{_VERIFIED} comparison embed_build cli cli_process foreign ranges pretrained",
    "deploy": f"{_DEPLOYED} precision_deploy labels profiles",
    "comparison": "diff diff_text diff_nets diff_fields diff_structure diff_work cli cli_process foreign",
}
