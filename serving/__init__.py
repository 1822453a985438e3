"""Serving: a TF Serving-compatible server and a client that needs no TensorFlow.

`serving.client` and `serving.server` share no code; the wire protocol is all they agree on.
"""
