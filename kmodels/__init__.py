"""The papers: one module per published model, in Keras 3."""
