"""What files say: questions, answers, images and boxes of benchmarks."""
