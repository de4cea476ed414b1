"""What a visitor wants next: journeys, the network over them, its rivals and its package."""
