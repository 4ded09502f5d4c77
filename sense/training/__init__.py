"""Models: made, loaded, trained, sampled and saved. The only importer of torch, transformers, trl and peft.

`nano` makes a base of random weights, `load` reads and writes model folders, `fit` trains (SFT, DPO),
`generate` samples. Nothing here knows of stages, files of examples or MLflow.
"""
