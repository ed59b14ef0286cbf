"""The parts of the picture of an answer: places, layout, panels, marks, words."""
