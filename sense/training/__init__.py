"""Models: created, loaded, trained, sampled and saved. The only importer of torch, transformers, trl and peft.

`nano` creates a small base of random weights, `model_folder` reads and writes model folders, `pretrained` loads what a user
names (`model_files` checks its files, `checks` whether all fits together), `fit` trains (SFT and DPO), `generate` samples,
`renaming` makes copies of examples under random names. Nothing here depends on stages, paths of the pipeline or MLflow.
"""
