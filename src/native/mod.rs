//! The door to ONNX Runtime: locate, session, probe, own operators.
