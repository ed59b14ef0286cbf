"""Where things are in a scene, and how many: found, counted, and put on the map."""
