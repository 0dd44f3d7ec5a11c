"""What is lost of a clip, in training and in evaluation."""
