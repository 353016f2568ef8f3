"""The models: which there are, the pipeline around them, what they accept, how they are stored
and served.

Imports scikit-learn and skops; never MLflow, Flask or SQL. Used by `ml_model` and `tracking`, so
that what is searched, trained, registered and served is one and the same pipeline.

`servable` and `input_rows` import numpy only, and onnxruntime to predict: they are all that a
process needs which serves ONNX. `parity` makes what they load, with `onnx_conversion`,
`onnx_nodes` and `onnx_trees`.
"""
