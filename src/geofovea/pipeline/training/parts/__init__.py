"""Parts trained beside a model whose own weights stay as they are."""
