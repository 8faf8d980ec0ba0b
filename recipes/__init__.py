"""One runnable script a model: `python recipes/vae.py`, or `kzoo train vae`."""
