"""Gradient-boosted trees: trained by XGBoost, served as an ONNX graph like every other model."""
