"""The Open Inference Protocol, version 2, which KServe, Triton and MLServer speak."""
