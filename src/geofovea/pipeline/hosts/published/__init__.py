"""The model as its authors published it, with the loop of their code."""
