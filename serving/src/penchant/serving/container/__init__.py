"""What runs in the production image: packages in, a Triton that serves them out."""
