"""LVLM families of transformers, a module a family."""
