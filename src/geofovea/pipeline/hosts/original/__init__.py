"""LLaVA as its own repository saves it, converted to the layout of stock ``transformers``."""
