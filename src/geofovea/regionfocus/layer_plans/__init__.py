"""What vision tokens do, and do not do, inside the layers of a decoder (``base``)."""
